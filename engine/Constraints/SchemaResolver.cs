using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Distributed.Engine.Constraints;

/// <summary>One of the ways to satisfy a schema: what must hold, or another schema, by reference, that may lead back here.</summary>
internal abstract record SchemaBranch
{
    public sealed record Holding(SchemaKeywords Keywords) : SchemaBranch;

    public sealed record Reference(SchemaNode Target) : SchemaBranch;
}

/// <summary>Takes <c>$ref</c>, <c>anyOf</c>, <c>oneOf</c> and <c>allOf</c> apart into branches, any of which may hold.</summary>
internal sealed class SchemaResolver(JsonElement root)
{
    private const int MaxBranchCount = 100, MaxReferenceDepth = 64, MaxLookCount = 20_000, MaxReadByteCount = 4 << 20;

    private int _lookCount, _readByteCount; // schemas looked at, each time again, and their bytes

    /// <summary>The branches of schemas that must all hold.</summary>
    /// <exception cref="SchemaException">They cannot be told apart, or combined.</exception>
    public IReadOnlyList<SchemaBranch> Branches(IReadOnlyList<SchemaNode> schemas)
    {
        var branches = Branches(schemas[0], 0);
        foreach (var schema in schemas.Skip(1))
        {
            branches = Both(schema, Expand(branches, 0), Expand(Branches(schema, 0), 0));
        }

        return branches;
    }

    private List<SchemaBranch> Branches(SchemaNode schema, int depth)
    {
        if (depth > MaxReferenceDepth)
        {
            throw schema.Error("leads back to itself without a value between");
        }

        _readByteCount += JsonMarshal.GetRawUtf8Value(schema.Element).Length;
        if (++_lookCount > MaxLookCount || _readByteCount > MaxReadByteCount)
        {
            throw schema.Error("has references and alternatives that lead to too many combinations; make it simpler");
        }

        if (schema.Element.ValueKind == JsonValueKind.False)
        {
            return [];
        }

        if (schema.Element.ValueKind == JsonValueKind.True)
        {
            return [new SchemaBranch.Holding(new SchemaKeywords { Path = schema.Path })];
        }

        var keywords = schema.Keywords();
        var parts = new List<List<SchemaBranch>>();
        if (keywords.Remove("$ref", out var reference))
        {
            parts.Add([new SchemaBranch.Reference(Resolve(schema, reference))]);
        }

        if (keywords.Remove("anyOf", out var anyOf))
        {
            parts.Add(OneOfThem(schema, schema.Children("anyOf", anyOf), depth));
        }

        if (keywords.Remove("oneOf", out var oneOf))
        {
            var children = schema.Children("oneOf", oneOf);
            RequireExclusive(schema, children, depth);
            parts.Add(OneOfThem(schema, children, depth));
        }

        if (keywords.Remove("allOf", out var allOf))
        {
            parts.AddRange(schema.Children("allOf", allOf).Select(child => Branches(child, depth + 1)));
        }

        if (keywords.Count > 0 || parts.Count == 0)
        {
            parts.Insert(0, [new SchemaBranch.Holding(KeywordReader.Read(schema, keywords))]);
        }

        // A reference alone is kept as one, so that it may lead back.
        return parts.Skip(1).Aggregate(parts[0], (both, part) => Both(schema, Expand(both, depth), Expand(part, depth)));
    }

    private List<SchemaBranch> OneOfThem(SchemaNode schema, IReadOnlyList<SchemaNode> children, int depth)
    {
        List<SchemaBranch> branches = [.. children.SelectMany(child => Branches(child, depth + 1))];
        return branches.Count <= MaxBranchCount ? branches : throw TooMany(schema);
    }

    private static List<SchemaBranch> Both(SchemaNode schema, List<SchemaKeywords> left, List<SchemaKeywords> right)
    {
        if ((long)left.Count * right.Count > MaxBranchCount)
        {
            throw TooMany(schema);
        }

        return
        [
            .. from first in left
               from second in right
               select first.And(second) into both
               where both.Types != JsonTypes.None
               select new SchemaBranch.Holding(both),
        ];
    }

    private List<SchemaKeywords> Expand(IReadOnlyList<SchemaBranch> branches, int depth) =>
    [
        .. branches.SelectMany(branch => branch switch
        {
            SchemaBranch.Holding holding => [holding.Keywords],
            SchemaBranch.Reference reference => Expand(Branches(reference.Target, depth + 1), depth + 1),
            _ => throw new ArgumentException("Not a branch.", nameof(branches)),
        }),
    ];

    /// <summary>The schema that a <c>$ref</c> names.</summary>
    private SchemaNode Resolve(SchemaNode schema, JsonElement reference)
    {
        var pointer = reference.ValueKind == JsonValueKind.String ? reference.GetString()! : ""; // not null: a string
        if (pointer != "#" && !pointer.StartsWith("#/", StringComparison.Ordinal))
        {
            throw schema.Error("has a '$ref' that does not begin with #/; only schemas in the same document can be referred to");
        }

        var element = root;
        foreach (var part in pointer.Split('/').Skip(1))
        {
            var name = Uri.UnescapeDataString(part).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            var isThere = element.ValueKind == JsonValueKind.Object ? element.TryGetProperty(name, out element)
                : element.ValueKind == JsonValueKind.Array && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var index)
                    && index < element.GetArrayLength() && (element = element[index]).ValueKind != JsonValueKind.Undefined;
            if (!isThere)
            {
                throw schema.Error("has a '$ref' to what is not there");
            }
        }

        return new SchemaNode(element, pointer);
    }

    // A value of two branches of oneOf would be wrong: they must differ in type, in their values, or in a property that both require.
    private void RequireExclusive(SchemaNode schema, IReadOnlyList<SchemaNode> children, int depth)
    {
        var branches = children.Select(child => Expand(Branches(child, depth + 1), depth + 1)).ToList();
        for (var right = 1; right < branches.Count; right++)
        {
            for (var left = 0; left < right; left++)
            {
                if (!branches[left].All(first => branches[right].All(second => AreExclusive(first, second, depth + 1))))
                {
                    throw schema.Error($"has 'oneOf' whose branches {left} and {right} may hold together; use anyOf");
                }
            }
        }
    }

    private bool AreExclusive(SchemaKeywords left, SchemaKeywords right, int depth)
    {
        if (left.Values is not null && right.Values is not null)
        {
            return !left.Values.Any(value => right.Values.Any(other => JsonElement.DeepEquals(value, other)));
        }

        // By what the schema says, not by what is meant: this is about every value.
        if ((TypesOf(left) & TypesOf(right)) == JsonTypes.None)
        {
            return true;
        }

        return TypesOf(left) == JsonTypes.Object && TypesOf(right) == JsonTypes.Object && left.Required.Intersect(right.Required).Any(name =>
            Find(left, name) is { } first && Find(right, name) is { } second
            && Expand(Branches(first, depth), depth).All(one => Expand(Branches(second, depth), depth).All(other => AreExclusive(one, other, depth + 1))));

        static SchemaNode? Find(SchemaKeywords keywords, string name)
            => keywords.Properties.FirstOrDefault(property => property.Name == name) is { Schemas: { IsDefault: false, Length: 1 } schemas } ? schemas[0] : null;

        static JsonTypes TypesOf(SchemaKeywords keywords) => keywords.Values is null ? keywords.Types
            : keywords.Values.Aggregate(JsonTypes.None, (types, value) => types | SchemaCompiler.TypesOf(value)) & keywords.Types;
    }

    private static SchemaException TooMany(SchemaNode schema) => schema.Error($"has more than {MaxBranchCount} combinations of alternatives");
}
