using Grpc.Wire;

namespace Grpc.AspNetCore.Server;

/// <summary>Settings of all gRPC services of a host.</summary>
public class GrpcServiceOptions
{
    /// <summary>The largest message that is sent, in bytes. Null, the default, sets no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>The largest message that is accepted, in bytes. The default is 4 MiB; null sets no limit.</summary>
    public int? MaxReceiveMessageSize { get; set; } = GrpcProtocol.DefaultMaxReceiveMessageSize;

    /// <summary>
    /// Whether a caller is told the type and message of an exception that a handler threw. The default, null, is no: messages may hold
    /// what only this side should know.
    /// </summary>
    public bool? EnableDetailedErrors { get; set; }
}
