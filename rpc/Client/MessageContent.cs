using System.Net;

namespace Grpc.Net.Client;

/// <summary>The body of a request with one message, serialized whenever the HTTP handler asks for it: again where it retries.</summary>
/// <param name="send">Writes the message into the body.</param>
internal sealed class MessageContent(Func<Stream, Task> send) : HttpContent
{
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => send(stream);

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
