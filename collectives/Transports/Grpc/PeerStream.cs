using Distributed.Protos;
using Grpc.Core;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>One end of the gRPC stream between two ranks, whichever of them dialled.</summary>
/// <param name="Reader">What the peer sends.</param>
/// <param name="Writer">What this rank sends; one write at a time.</param>
/// <param name="Complete">Ends this rank's direction in order, after its last write.</param>
/// <param name="Kill">Ends both directions at once; may be called more than once and from any thread.</param>
internal sealed record PeerStream(IAsyncStreamReader<PeerFrame> Reader, IAsyncStreamWriter<PeerFrame> Writer, Func<Task> Complete, Action Kill);
