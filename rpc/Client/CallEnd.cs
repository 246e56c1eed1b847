using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>How a call ended.</summary>
/// <param name="Status">The status.</param>
/// <param name="Trailers">The metadata that came with it.</param>
/// <param name="Description">Method and address, for the text of the exception.</param>
internal sealed record CallEnd(Status Status, Metadata Trailers, string Description)
{
    /// <summary>A new exception for each one who asks, since each has a stack of its own.</summary>
    public RpcException ToException() => new(Status, Trailers, $"{Status} from {Description}");
}
