using Grpc.Core;
using Grpc.Wire;

namespace Grpc.AspNetCore.Server;

/// <summary>The response stream of a call.</summary>
internal sealed class ResponseStreamWriter<TResponse>(ServerCall call, ServerResponse response, MessageWriter<TResponse> messages)
    : IServerStreamWriter<TResponse>
    where TResponse : class
{
    public WriteOptions? WriteOptions
    {
        get => call.WriteOptions;
        set => call.WriteOptions = value;
    }

    public Task WriteAsync(TResponse message) => WriteAsync(message, CancellationToken.None);

    public Task WriteAsync(TResponse message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(message);
        var flush = WriteOptions is null || (WriteOptions.Flags & WriteFlags.BufferHint) == 0;
        return response.WriteAsync(messages, message, flush, cancellationToken);
    }
}
