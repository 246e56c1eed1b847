using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Requests;

/// <summary>Reads the JSON object of a request. What is not such JSON is an <see cref="ApiException"/>.</summary>
internal static class RequestBody
{
    /// <summary>Nested deeper than this nobody needs, but for a schema.</summary>
    private const int MaxDepth = 32;

    private static readonly JsonDocumentOptions Syntax = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>The body's object, which the caller disposes.</summary>
    public static async Task<JsonDocument> ReadAsync(HttpRequest request)
    {
        // A page of another origin can send other kinds without being asked for permission first.
        if (!request.HasJsonContentType())
        {
            throw ApiException.Request(HttpStatusCode.UnsupportedMediaType, "The Content-Type must be application/json.");
        }

        try
        {
            return RequireObject(await JsonDocument.ParseAsync(request.Body, Syntax, request.HttpContext.RequestAborted));
        }
        catch (Exception exception) when (Refusal(exception) is { } refusal)
        {
            throw refusal;
        }
    }

    /// <summary>The object that <paramref name="body"/> is, which the caller disposes.</summary>
    public static JsonDocument Parse(ReadOnlyMemory<byte> body)
    {
        try
        {
            return RequireObject(JsonDocument.Parse(body, Syntax));
        }
        catch (Exception exception) when (Refusal(exception) is { } refusal)
        {
            throw refusal;
        }
    }

    private static JsonDocument RequireObject(JsonDocument document)
    {
        if (document.RootElement.ValueKind == JsonValueKind.Object)
        {
            return document;
        }

        document.Dispose();
        throw ApiException.Request(HttpStatusCode.BadRequest, "The body must be a JSON object.");
    }

    private static ApiException? Refusal(Exception exception) => exception switch
    {
        JsonException json => ApiException.Request(
            HttpStatusCode.BadRequest,
            $"The body is not JSON of at most {MaxDepth} levels in which every name is there once (line {json.LineNumber + 1}, byte {json.BytePositionInLine + 1})."),
        InvalidOperationException => ApiException.Request( // the framework's word for it
            HttpStatusCode.BadRequest, "The body has a name with half a surrogate pair (\\uD800 to \\uDFFF); send text."),
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => ApiException.Request(
            HttpStatusCode.RequestEntityTooLarge, "The body is larger than this server takes."),
        BadHttpRequestException http => ApiException.Request((HttpStatusCode)http.StatusCode, "The body could not be read to its end."),
        _ => null,
    };
}
