using System.Buffers;
using System.Text.Json;
using Distributed.Worker.Serving.Requests;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Responses;

/// <summary>
/// An answer in events (text/event-stream): each is <c>data: {json}</c> and an empty line, the last <c>data: [DONE]</c>. Each event is one write and is sent
/// at once. One writer at a time.
/// </summary>
internal sealed class EventStream(HttpResponse response)
{
    private readonly ArrayBufferWriter<byte> _buffer = new(512);
    private Utf8JsonWriter? _json;

    private CancellationToken Aborted => response.HttpContext.RequestAborted;

    /// <summary>Sends the head of the response.</summary>
    public Task BeginAsync()
    {
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-cache";
        response.Headers["X-Accel-Buffering"] = "no"; // nginx would hold events back
        return response.Body.FlushAsync(Aborted); // starting it alone would keep the head until the first event
    }

    /// <summary>Sends a document.</summary>
    public Task SendAsync(Action<Utf8JsonWriter> write)
    {
        _buffer.ResetWrittenCount();
        _buffer.Write("data: "u8);
        _json ??= new Utf8JsonWriter(_buffer);
        _json.Reset();
        write(_json);
        _json.Flush();
        _buffer.Write("\n\n"u8);
        return FlushAsync(_buffer.WrittenMemory);
    }

    /// <summary>Sends a comment, which clients pass over: it keeps proxies from giving up, and shows whether the client is still there.</summary>
    public Task SendPingAsync() => FlushAsync(": ping\n\n"u8.ToArray());

    /// <summary>Ends an answer that is complete.</summary>
    public Task SendDoneAsync() => FlushAsync("data: [DONE]\n\n"u8.ToArray());

    /// <summary>Ends an answer that cannot be completed: an error in place of [DONE].</summary>
    public Task SendErrorAsync(ApiException error) => SendAsync(json => ErrorDocument.Write(json, error));

    private async Task FlushAsync(ReadOnlyMemory<byte> bytes)
    {
        await response.Body.WriteAsync(bytes, Aborted);
        await response.Body.FlushAsync(Aborted);
    }
}
