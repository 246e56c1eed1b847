using System.Net;

namespace Grpc.Net.Client;

/// <summary>The body of a request with a stream of messages: it stays open, for others to write into, until it is completed.</summary>
internal sealed class MessageStreamContent : HttpContent
{
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The body, as soon as the connection has taken the request; cancelled where the call ends before.</summary>
    public Task<Stream> Opened => _opened.Task;

    /// <summary>No message follows.</summary>
    public void Complete() => _completed.TrySetResult();

    /// <summary>The call has ended. A body that is not complete resets the HTTP/2 stream.</summary>
    public void Abort()
    {
        _opened.TrySetCanceled();
        _completed.TrySetCanceled();
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        // The headers go out now, not with the first message: the server may be the one to speak first.
        await stream.FlushAsync();
        if (!_opened.TrySetResult(stream))
        {
            // The handler retries on another connection, but messages may have been written to the first.
            throw new IOException("the connection was lost while the call began; the call can be retried");
        }

        await _completed.Task;
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
