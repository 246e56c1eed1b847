using System.Net;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Requests;

/// <summary>
/// The JSON object of a request. What is not such JSON is an <see cref="ApiException"/>. Parsing it allocates at most six times its bytes, whatever they are.
/// </summary>
internal sealed class RequestBody : IDisposable
{
    /// <summary>Nested deeper than this nobody needs, but for a schema.</summary>
    private const int MaxDepth = 32;

    private static readonly JsonDocumentOptions Syntax = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    private readonly JsonDocument _document;
    private readonly TokenIdLists _tokenIds;

    private RequestBody(JsonDocument document, TokenIdLists tokenIds) => (_document, _tokenIds) = (document, tokenIds);

    /// <summary>The object's fields, until it is disposed.</summary>
    public RequestFields Fields => new(_document.RootElement, _tokenIds);

    /// <summary>The body's object, which the caller disposes.</summary>
    public static async Task<RequestBody> ReadAsync(HttpRequest request)
    {
        // A page of another origin can send other kinds without being asked for permission first.
        if (!request.HasJsonContentType())
        {
            throw ApiException.Request(HttpStatusCode.UnsupportedMediaType, "The Content-Type must be application/json.");
        }

        using var body = new MemoryStream(); // as long as the server takes bodies, and the document's from then on
        try
        {
            await request.Body.CopyToAsync(body, request.HttpContext.RequestAborted);
        }
        catch (BadHttpRequestException exception)
        {
            throw exception.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? ApiException.Request(HttpStatusCode.RequestEntityTooLarge, "The body is larger than this server takes.")
                : ApiException.Request((HttpStatusCode)exception.StatusCode, "The body could not be read to its end.");
        }

        return Parse(body.GetBuffer().AsMemory(0, (int)body.Length));
    }

    /// <summary>The object that <paramref name="body"/> is, which the caller disposes.</summary>
    public static RequestBody Parse(ReadOnlyMemory<byte> body)
    {
        if (!Utf8.IsValid(body.Span))
        {
            throw ApiException.Request(HttpStatusCode.BadRequest, "The body is not UTF-8, in which JSON is written.");
        }

        JsonDocument document;
        TokenIdLists tokenIds;
        try
        {
            tokenIds = TokenIdLists.Take(ref body, MaxDepth);
            document = JsonDocument.Parse(body, Syntax);
        }
        catch (JsonException exception)
        {
            throw ApiException.Request(
                HttpStatusCode.BadRequest,
                $"The body is not JSON of at most {MaxDepth} levels in which every name is there once (line {exception.LineNumber + 1}, byte {exception.BytePositionInLine + 1}).");
        }
        catch (InvalidOperationException) // the framework's word for it
        {
            throw ApiException.Request(HttpStatusCode.BadRequest, "The body has a name with half a surrogate pair (\\uD800 to \\uDFFF); send text.");
        }

        if (document.RootElement.ValueKind == JsonValueKind.Object)
        {
            return new RequestBody(document, tokenIds);
        }

        document.Dispose();
        throw ApiException.Request(HttpStatusCode.BadRequest, "The body must be a JSON object.");
    }

    public void Dispose() => _document.Dispose();
}
