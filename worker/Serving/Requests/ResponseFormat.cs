using System.Text.Json;

namespace Distributed.Worker.Serving.Requests;

/// <summary>What an answer must match.</summary>
/// <param name="Kind">How it is said.</param>
/// <param name="Schema">The text of the JSON schema, where <paramref name="Kind"/> is one.</param>
internal sealed record ResponseFormat(ResponseFormatKind Kind, string? Schema = null)
{
    /// <summary>The field that has the schema.</summary>
    public const string SchemaField = $"{Name}.json_schema.schema";

    private const string Name = "response_format";

    public static ResponseFormat Text { get; } = new(ResponseFormatKind.Text);

    /// <summary>Reads <c>response_format</c>; whether a schema can be followed is seen later.</summary>
    /// <exception cref="ApiException">It has another form.</exception>
    public static ResponseFormat Read(RequestFields fields)
    {
        if (fields.Object(Name) is not { } format)
        {
            return Text;
        }

        return format.Text("type") switch
        {
            "text" => Text,
            "json_object" => new ResponseFormat(ResponseFormatKind.JsonObject),
            "json_schema" => new ResponseFormat(ResponseFormatKind.JsonSchema, SchemaText(format)),
            _ => throw ApiException.Field($"{Name}.type", "response_format.type must be text, json_object or json_schema."),
        };
    }

    private static string SchemaText(RequestFields format)
        => format.Object("json_schema") is { } named && named["schema"] is { ValueKind: JsonValueKind.Object or JsonValueKind.True } schema
            ? schema.GetRawText()
            : throw ApiException.Field(
                $"{Name}.json_schema", "response_format.json_schema must be an object with the schema: {\"name\": \"...\", \"schema\": {...}}.");
}

/// <summary>The kinds of <see cref="ResponseFormat"/>.</summary>
internal enum ResponseFormatKind
{
    Text,
    JsonObject,
    JsonSchema,
}
