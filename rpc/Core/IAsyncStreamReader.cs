namespace Grpc.Core;

/// <summary>A stream of messages that arrive. One read at a time.</summary>
public interface IAsyncStreamReader<out T>
{
    /// <summary>The message that the last successful <see cref="MoveNext"/> read.</summary>
    T Current { get; }

    /// <summary>Reads the next message; false at the end of the stream.</summary>
    /// <exception cref="RpcException">The call failed (client side).</exception>
    Task<bool> MoveNext(CancellationToken cancellationToken);
}
