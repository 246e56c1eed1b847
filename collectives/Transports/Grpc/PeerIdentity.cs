using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>Who this rank is among its peers, and the secret by which it proves that.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Epoch">The restart count of the job.</param>
/// <param name="Rank">This rank.</param>
/// <param name="WorldSize">The number of ranks.</param>
/// <param name="Secret">The job's secret.</param>
internal sealed record PeerIdentity(string JobId, int Epoch, int Rank, int WorldSize, JobSecret Secret)
{
    /// <summary>The version of peer.proto and of what its messages mean.</summary>
    public const uint ProtocolVersion = 5;
}
