using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Engine.Constraints;

[Flags]
internal enum JsonTypes
{
    None = 0,
    Object = 1,
    Array = 2,
    String = 4,
    Integer = 8,
    Number = 16, // with Integer, where it is allowed at all
    Boolean = 32,
    Null = 64,
    All = 127,
}

/// <summary>
/// What must hold of a value, without alternatives: the keywords of one schema, or of several that must all hold. Several schemas of one part are kept
/// as a list, each of which must hold. Immutable.
/// </summary>
internal sealed record SchemaKeywords
{
    /// <summary>Where it was read, for errors.</summary>
    public required string Path { get; init; }

    public JsonTypes Types { get; init; } = JsonTypes.All;

    /// <summary>The only values, if not <see langword="null"/>.</summary>
    public IReadOnlyList<JsonElement>? Values { get; init; }

    /// <summary>In the order of the schema.</summary>
    public ImmutableArray<(string Name, ImmutableArray<SchemaNode> Schemas)> Properties { get; init; } = [];

    public ImmutableArray<string> Required { get; init; } = [];

    /// <summary>Of every other property; <see langword="null"/> where the schema does not say.</summary>
    public SchemaNode? AdditionalProperties { get; init; }

    public ImmutableArray<SchemaNode> PrefixItems { get; init; } = [];

    /// <summary>Of every item behind the first ones.</summary>
    public ImmutableArray<SchemaNode> Items { get; init; } = [];

    public int MinItems { get; init; }

    public int? MaxItems { get; init; }

    public int MinLength { get; init; }

    public int? MaxLength { get; init; }

    /// <summary>Each must be found in the string.</summary>
    public ImmutableArray<PatternNode> Patterns { get; init; } = [];

    public NumberBound? Low { get; init; }

    public NumberBound? High { get; init; }

    /// <summary>Whether keywords say something about objects, and so on: without <c>type</c>, such a schema is taken to mean values of these types.</summary>
    public JsonTypes Meant { get; init; }

    /// <summary>Whether <c>type</c> was given.</summary>
    public bool HasType { get; init; }

    /// <summary>The types that a value may have.</summary>
    public JsonTypes EffectiveTypes => HasType || Values is not null || Meant == JsonTypes.None ? Types : Types & Meant;

    /// <summary>Says nothing at all.</summary>
    public bool IsAnything => !HasType && Values is null && Meant == JsonTypes.None;

    /// <summary>What holds where both hold.</summary>
    /// <exception cref="SchemaException">That cannot be told.</exception>
    public SchemaKeywords And(SchemaKeywords other)
    {
        if ((AdditionalProperties is not null && !other.Properties.IsEmpty) || (other.AdditionalProperties is not null && !Properties.IsEmpty)
            || (AdditionalProperties is not null && other.AdditionalProperties is not null))
        {
            throw Error("combines 'additionalProperties' with properties of another schema; write them into one schema");
        }

        if ((!PrefixItems.IsEmpty && !(other.PrefixItems.IsEmpty && other.Items.IsEmpty)) || (!other.PrefixItems.IsEmpty && !Items.IsEmpty))
        {
            throw Error("combines 'prefixItems' with items of another schema; write them into one schema");
        }

        var properties = Properties.ToBuilder();
        var places = other.Properties.IsEmpty ? [] : Properties.Index().ToDictionary(entry => entry.Item.Name, entry => entry.Index, StringComparer.Ordinal);
        foreach (var (name, schemas) in other.Properties)
        {
            if (places.TryGetValue(name, out var place))
            {
                properties[place] = (name, [.. properties[place].Schemas, .. schemas]);
            }
            else
            {
                properties.Add((name, schemas));
            }
        }

        return this with
        {
            Types = Types & other.Types,
            HasType = HasType || other.HasType,
            Meant = Meant == JsonTypes.None ? other.Meant : other.Meant == JsonTypes.None ? Meant : Meant & other.Meant,
            Values = Values is null ? other.Values : other.Values is null ? Values : [.. Values.Where(value => other.Values.Any(same => JsonElement.DeepEquals(value, same)))],
            Properties = properties.ToImmutable(),
            Required = [.. Required.Union(other.Required)],
            AdditionalProperties = AdditionalProperties ?? other.AdditionalProperties,
            PrefixItems = [.. PrefixItems, .. other.PrefixItems],
            Items = [.. Items, .. other.Items],
            MinItems = Math.Max(MinItems, other.MinItems),
            MaxItems = Least(MaxItems, other.MaxItems),
            MinLength = Math.Max(MinLength, other.MinLength),
            MaxLength = Least(MaxLength, other.MaxLength),
            Patterns = [.. Patterns, .. other.Patterns],
            Low = Tighter(Low, other.Low, 1),
            High = Tighter(High, other.High, -1),
        };
    }

    /// <summary>The bound of two that leaves less.</summary>
    /// <param name="first">One of them.</param>
    /// <param name="second">The other.</param>
    /// <param name="sign">1 for lower bounds, -1 for upper ones.</param>
    public static NumberBound? Tighter(NumberBound? first, NumberBound? second, int sign)
    {
        if (first is not { } left || second is not { } right)
        {
            return first ?? second;
        }

        var order = left.Value.CompareTo(right.Value) * sign;
        return order > 0 || (order == 0 && left.IsExcluded) ? left : right;
    }

    public SchemaException Error(string problem) => new SchemaNode(default, Path).Error(problem);

    private static int? Least(int? first, int? second) => first is null || second < first ? second ?? first : first;
}
