using System.Text.Json;
using System.Text.RegularExpressions;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>Whether a value satisfies a JSON schema, by the plain reading of the specification (draft 2020-12), for the keywords that the tests use.</summary>
internal sealed class SchemaChecker(JsonElement root)
{
    public bool IsValid(JsonElement value) => IsValid(root, value);

    private bool IsValid(JsonElement schema, JsonElement value)
        => schema.ValueKind is JsonValueKind.True
            || (schema.ValueKind != JsonValueKind.False && schema.EnumerateObject().All(keyword => Holds(schema, keyword.Name, keyword.Value, value)));

    private bool Holds(JsonElement schema, string keyword, JsonElement operand, JsonElement value)
    {
        var (isText, isNumber, isObject, isArray) = (value.ValueKind == JsonValueKind.String, value.ValueKind == JsonValueKind.Number,
            value.ValueKind == JsonValueKind.Object, value.ValueKind == JsonValueKind.Array);
        return keyword switch
        {
            "type" => operand.ValueKind == JsonValueKind.Array ? operand.EnumerateArray().Any(type => HasType(type.GetString()!, value)) : HasType(operand.GetString()!, value),
            "enum" => operand.EnumerateArray().Any(item => JsonElement.DeepEquals(item, value)),
            "const" => JsonElement.DeepEquals(operand, value),
            "properties" => !isObject || operand.EnumerateObject().All(property => !value.TryGetProperty(property.Name, out var part) || IsValid(property.Value, part)),
            "required" => !isObject || operand.EnumerateArray().All(name => value.TryGetProperty(name.GetString()!, out _)),
            "additionalProperties" => !isObject || value.EnumerateObject().All(part =>
                (schema.TryGetProperty("properties", out var known) && known.TryGetProperty(part.Name, out _)) || IsValid(operand, part.Value)),
            "prefixItems" => !isArray || operand.EnumerateArray().Zip(value.EnumerateArray()).All(pair => IsValid(pair.First, pair.Second)),
            "items" => !isArray || value.EnumerateArray().Skip(schema.TryGetProperty("prefixItems", out var prefix) ? prefix.GetArrayLength() : 0).All(item => IsValid(operand, item)),
            "minItems" => !isArray || value.GetArrayLength() >= operand.GetInt32(),
            "maxItems" => !isArray || value.GetArrayLength() <= operand.GetInt32(),
            "minLength" => !isText || value.GetString()!.EnumerateRunes().Count() >= operand.GetInt32(),
            "maxLength" => !isText || value.GetString()!.EnumerateRunes().Count() <= operand.GetInt32(),
            "pattern" => !isText || Regex.IsMatch(value.GetString()!, operand.GetString()!, RegexOptions.ECMAScript),
            "format" => !isText || HasFormat(operand.GetString()!, value.GetString()!),
            "minimum" => !isNumber || value.GetDecimal() >= operand.GetDecimal(),
            "maximum" => !isNumber || value.GetDecimal() <= operand.GetDecimal(),
            "exclusiveMinimum" => !isNumber || value.GetDecimal() > operand.GetDecimal(),
            "exclusiveMaximum" => !isNumber || value.GetDecimal() < operand.GetDecimal(),
            "anyOf" => operand.EnumerateArray().Any(branch => IsValid(branch, value)),
            "oneOf" => operand.EnumerateArray().Count(branch => IsValid(branch, value)) == 1,
            "allOf" => operand.EnumerateArray().All(branch => IsValid(branch, value)),
            "$ref" => IsValid(operand.GetString()!.Split('/').Skip(1).Aggregate(root, (part, name) => part.GetProperty(name)), value),
            "$defs" or "title" or "description" or "default" => true,
            _ => throw new ArgumentException($"The checker does not know {keyword}."),
        };
    }

    private static bool HasType(string type, JsonElement value) => (type, value.ValueKind) switch
    {
        ("object", JsonValueKind.Object) or ("array", JsonValueKind.Array) or ("string", JsonValueKind.String) or ("number", JsonValueKind.Number) => true,
        ("boolean", JsonValueKind.True or JsonValueKind.False) or ("null", JsonValueKind.Null) => true,
        ("integer", JsonValueKind.Number) => value.GetDouble() is var number && number == Math.Floor(number),
        _ => false,
    };

    private static bool HasFormat(string format, string text) => format switch
    {
        "date" => text.StartsWith("0000-", StringComparison.Ordinal) || DateOnly.TryParseExact(text, "yyyy-MM-dd", out _),
        "date-time" => text.StartsWith("0000-", StringComparison.Ordinal) || DateTimeOffset.TryParse($"2000{text[4..10].Replace("02-29", "02-28", StringComparison.Ordinal)}T00:00:00Z", out _),
        "uuid" => Guid.TryParseExact(text, "D", out _),
        "ipv4" or "ipv6" => System.Net.IPAddress.TryParse(text, out _),
        "email" => System.Net.Mail.MailAddress.TryCreate(text, out _),
        _ => throw new ArgumentException($"The checker does not know the format {format}."),
    };
}
