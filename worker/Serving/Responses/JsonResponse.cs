using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Distributed.Worker.Serving.Requests;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Responses;

/// <summary>Answers that are one JSON document.</summary>
internal static class JsonResponse
{
    /// <summary>Sends a document.</summary>
    /// <param name="response">Not begun.</param>
    /// <param name="write">Writes it.</param>
    /// <param name="status">The HTTP status.</param>
    public static Task SendAsync(HttpResponse response, Action<Utf8JsonWriter> write, int status = StatusCodes.Status200OK)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            write(json);
        }

        response.StatusCode = status;
        response.ContentType = "application/json";
        response.ContentLength = buffer.WrittenCount;
        return response.Body.WriteAsync(buffer.WrittenMemory, response.HttpContext.RequestAborted).AsTask();
    }

    /// <summary>Sends an error.</summary>
    public static Task SendErrorAsync(HttpResponse response, ApiException error)
    {
        if (error.RetryAfterSeconds is { } seconds)
        {
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        }

        return SendAsync(response, json => ErrorDocument.Write(json, error), (int)error.Status);
    }
}
