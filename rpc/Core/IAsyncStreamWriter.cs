namespace Grpc.Core;

/// <summary>A stream of messages that are sent. One write at a time.</summary>
public interface IAsyncStreamWriter<in T>
{
    /// <summary>Options for the writes that follow.</summary>
    WriteOptions? WriteOptions { get; set; }

    /// <summary>Sends a message. The task ends when the transport has taken it, which is later than at once where the peer reads slowly.</summary>
    Task WriteAsync(T message);

    /// <summary>Sends a message; cancelling the token cancels the call.</summary>
    Task WriteAsync(T message, CancellationToken cancellationToken)
        => cancellationToken.CanBeCanceled
            ? throw new NotSupportedException("This stream cannot cancel a write.")
            : WriteAsync(message);
}

/// <summary>The request stream of a client.</summary>
public interface IClientStreamWriter<in T> : IAsyncStreamWriter<T>
{
    /// <summary>Ends the stream: no message follows. Calling it again does nothing.</summary>
    Task CompleteAsync();
}

/// <summary>The response stream of a server; it ends when the handler returns.</summary>
public interface IServerStreamWriter<in T> : IAsyncStreamWriter<T>
{
}
