using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Constraints;

/// <summary>Reads the keywords of one schema, but for those that lead to other schemas in its place (<see cref="SchemaResolver"/>).</summary>
internal static class KeywordReader
{
    private const int MaxCount = 1_000_000;

    /// <summary>The keywords.</summary>
    /// <exception cref="SchemaException">One of them has a wrong value, or cannot be enforced.</exception>
    public static SchemaKeywords Read(SchemaNode schema, IReadOnlyDictionary<string, JsonElement> keywords)
    {
        var read = new SchemaKeywords { Path = schema.Path };
        foreach (var (keyword, value) in keywords)
        {
            read = Add(read, schema, keyword, value);
        }

        if (read.MinItems > read.MaxItems || read.MinLength > read.MaxLength)
        {
            throw schema.Error("has a least count that is above its greatest");
        }

        return read.Values is null || read.Meant == JsonTypes.None
            ? read
            : throw schema.Error("has 'enum' or 'const' beside keywords other than 'type'; leave out the values that these forbid, and the keywords");
    }

    private static SchemaKeywords Add(SchemaKeywords read, SchemaNode schema, string keyword, JsonElement value) => keyword switch
    {
        "type" => read with { Types = read.Types & ReadTypes(schema, value), HasType = true },
        "enum" => read.Values is null ? read with { Values = ReadValues(schema, value) } : throw schema.Error("has both 'enum' and 'const'"),
        "const" => read.Values is null ? read with { Values = [value] } : throw schema.Error("has both 'enum' and 'const'"),
        "properties" => Means(read, JsonTypes.Object) with { Properties = ReadProperties(schema, value) },
        "required" => Means(read, JsonTypes.Object) with { Required = ReadNames(schema, value) },
        "additionalProperties" => Means(read, JsonTypes.Object) with { AdditionalProperties = schema.Child(keyword, value) },
        "prefixItems" => Means(read, JsonTypes.Array) with { PrefixItems = [.. schema.Children(keyword, value)] },
        "items" => Means(read, JsonTypes.Array) with { Items = [schema.Child(keyword, value)] },
        "minItems" => Means(read, JsonTypes.Array) with { MinItems = ReadCount(schema, keyword, value) },
        "maxItems" => Means(read, JsonTypes.Array) with { MaxItems = ReadCount(schema, keyword, value) },
        "minLength" => Means(read, JsonTypes.String) with { MinLength = ReadCount(schema, keyword, value) },
        "maxLength" => Means(read, JsonTypes.String) with { MaxLength = ReadCount(schema, keyword, value) },
        "pattern" => Means(read, JsonTypes.String) with { Patterns = read.Patterns.Add(PatternReader.Read(ReadText(schema, keyword, value), $"{schema.Path}/pattern")) },
        "format" => Means(read, JsonTypes.String) with { Patterns = read.Patterns.Add(ReadFormat(schema, ReadText(schema, keyword, value))) },
        "minimum" => WithLow(read, new NumberBound(ReadNumber(schema, keyword, value), false)),
        "exclusiveMinimum" => WithLow(read, new NumberBound(ReadNumber(schema, keyword, value), true)),
        "maximum" => WithHigh(read, new NumberBound(ReadNumber(schema, keyword, value), false)),
        "exclusiveMaximum" => WithHigh(read, new NumberBound(ReadNumber(schema, keyword, value), true)),
        "uniqueItems" when value.ValueKind == JsonValueKind.False => read,
        "multipleOf" => ReadNumber(schema, keyword, value) == 1
            ? read with { Types = read.Types & ~JsonTypes.Number }
            : throw schema.Error("uses 'multipleOf' with a step other than 1, which cannot be enforced; remove it"),
        _ => throw schema.Error($"uses '{Printable.Of(keyword)}', which cannot be enforced; remove it"),
    };

    private static SchemaKeywords Means(SchemaKeywords read, JsonTypes types) => read with { Meant = read.Meant | types };

    private static SchemaKeywords WithLow(SchemaKeywords read, NumberBound bound)
        => Means(read, JsonTypes.Number | JsonTypes.Integer) with { Low = SchemaKeywords.Tighter(read.Low, bound, 1) };

    private static SchemaKeywords WithHigh(SchemaKeywords read, NumberBound bound)
        => Means(read, JsonTypes.Number | JsonTypes.Integer) with { High = SchemaKeywords.Tighter(read.High, bound, -1) };

    private static JsonTypes ReadTypes(SchemaNode schema, JsonElement value)
    {
        IEnumerable<JsonElement> names = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : [value];
        return names.Aggregate(JsonTypes.None, (types, name) => types | (name.ValueKind == JsonValueKind.String ? name.GetString() : null) switch
        {
            "object" => JsonTypes.Object,
            "array" => JsonTypes.Array,
            "string" => JsonTypes.String,
            "integer" => JsonTypes.Integer,
            "number" => JsonTypes.Number | JsonTypes.Integer,
            "boolean" => JsonTypes.Boolean,
            "null" => JsonTypes.Null,
            _ => throw schema.Error("has a 'type' that is not one or some of object, array, string, number, integer, boolean, null"),
        });
    }

    private static JsonElement[] ReadValues(SchemaNode schema, JsonElement value)
        => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 ? [.. value.EnumerateArray()] : throw schema.Error("has 'enum' that is no list of values");

    private static ImmutableArray<(string Name, ImmutableArray<SchemaNode> Schemas)> ReadProperties(SchemaNode schema, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw schema.Error("has 'properties' that is no object");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        return
        [
            .. value.EnumerateObject().Select(property => names.Add(property.Name)
                ? (property.Name, ImmutableArray.Create(schema.Child("properties", property.Name, property.Value)))
                : throw schema.Error($"has the property '{Printable.Of(property.Name)}' twice")),
        ];
    }

    private static ImmutableArray<string> ReadNames(SchemaNode schema, JsonElement value)
        => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(name => name.ValueKind == JsonValueKind.String)
            ? [.. value.EnumerateArray().Select(name => name.GetString()!)] // not null: a string
            : throw schema.Error("has 'required' that is no list of names");

    private static int ReadCount(SchemaNode schema, string keyword, JsonElement value)
        => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number is >= 0 and <= MaxCount && number == Math.Floor(number)
            ? (int)number
            : throw schema.Error($"has '{keyword}' that is no whole number from 0 to {MaxCount}");

    private static decimal ReadNumber(SchemaNode schema, string keyword, JsonElement value)
        => value.ValueKind == JsonValueKind.Number
            && decimal.TryParse(value.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            && (double)number == value.GetDouble()
            ? number
            : throw schema.Error($"has '{keyword}' that is no number of at most 28 digits");

    private static string ReadText(SchemaNode schema, string keyword, JsonElement value)
        => value.ValueKind == JsonValueKind.String ? value.GetString()! : throw schema.Error($"has '{keyword}' that is no text"); // not null: a string

    private static PatternNode ReadFormat(SchemaNode schema, string format)
        => StringFormats.Find(format)
            ?? throw schema.Error($"has the format '{Printable.Of(format)}', which cannot be enforced; remove it, or use one of {StringFormats.Names}");
}
