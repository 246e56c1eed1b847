namespace Grpc.Core;

/// <summary>What a handler knows about the call that it serves. It is valid until the handler returns.</summary>
public abstract class ServerCallContext
{
    private protected ServerCallContext()
    {
    }

    /// <summary>The method, as <c>/service/method</c>.</summary>
    public abstract string Method { get; }

    /// <summary>The host that the client named, the <c>:authority</c> of the request.</summary>
    public abstract string Host { get; }

    /// <summary>The client's address: <c>ipv4:1.2.3.4:5678</c>, <c>ipv6:[::1]:5678</c>, or <c>unix:</c> for a Unix socket.</summary>
    public abstract string Peer { get; }

    /// <summary>The moment, in UTC, at which the call fails; <see cref="DateTime.MaxValue"/> where the client set none.</summary>
    public abstract DateTime Deadline { get; }

    public abstract Metadata RequestHeaders { get; }

    /// <summary>Cancelled when the client cancels or is lost, and when the deadline passes.</summary>
    public abstract CancellationToken CancellationToken { get; }

    /// <summary>Sent with the status when the handler has returned.</summary>
    public abstract Metadata ResponseTrailers { get; }

    /// <summary>The status that is sent when the handler returns normally; OK unless the handler sets another.</summary>
    public abstract Status Status { get; set; }

    /// <summary>Options for the messages of the response stream.</summary>
    public abstract WriteOptions? WriteOptions { get; set; }

    /// <summary>A place for what middleware and handlers want to keep with the call.</summary>
    public abstract IDictionary<object, object> UserState { get; }

    /// <summary>Sends the response headers now, before the first message.</summary>
    /// <exception cref="InvalidOperationException">They have been sent, by an earlier call or with a message.</exception>
    public abstract Task WriteResponseHeadersAsync(Metadata responseHeaders);
}
