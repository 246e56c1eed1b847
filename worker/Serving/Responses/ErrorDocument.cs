using System.Text.Json;
using Distributed.Worker.Output;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Responses;

/// <summary>The form of every error: <c>{"error":{"message","type","param","code"}}</c>.</summary>
internal static class ErrorDocument
{
    /// <summary>Writes it.</summary>
    public static void Write(Utf8JsonWriter json, ApiException error)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WritePlain("message", error.Message);
        json.WriteString("type", error.Type);
        WriteText(json, "param", error.Param);
        WriteText(json, "code", error.Code);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, string name, string? text)
    {
        if (text is null)
        {
            json.WriteNull(name);
        }
        else
        {
            json.WritePlain(name, text);
        }
    }
}
