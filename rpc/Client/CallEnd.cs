using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>How a call ended: its status and the metadata that came with it.</summary>
internal sealed record CallEnd(Status Status, Metadata Trailers);
