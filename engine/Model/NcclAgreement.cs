using System.Runtime.InteropServices;
using Distributed.Engine.Nccl;

namespace Distributed.Engine.Model;

/// <summary>
/// How the ranks of a stage come to one opinion on NCCL: all tell how near they are, all decide alike; where they join, all tell whether that went
/// well, and one that failed is enough for all to sum through host memory.
/// </summary>
internal static class NcclAgreement
{
    private static readonly TimeSpan JoinLimit = TimeSpan.FromSeconds(60);

    /// <summary>All ranks of the stage call it once, at the same time, in whatever they compute.</summary>
    /// <param name="collectives">The ranks.</param>
    /// <param name="own">What this one can do.</param>
    /// <param name="library">NCCL, where <paramref name="own"/> is ready.</param>
    /// <param name="bindDevice">Makes this rank's GPU the calling thread's.</param>
    /// <param name="communicator">The way from GPU to GPU; <see langword="null"/> for host memory.</param>
    /// <returns>How sums travel, for the user; <see langword="null"/> where nothing is to be said.</returns>
    public static string? Reach(
        StepCollectives collectives, NcclPeer own, NcclLibrary? library, Action bindDevice, out NcclCommunicator? communicator)
    {
        communicator = null;
        if (collectives.StageSize == 1)
        {
            return null;
        }

        if (NcclPeer.FindObstacle(Gather(collectives, own)) is { } obstacle)
        {
            return obstacle.Length == 0 ? null : Fallback(obstacle);
        }

        var (id, problem) = MakeId(collectives.StageRank, library!); // ready
        id = Gather(collectives, id)[0];
        var hasId = Gather(collectives, problem is null ? 1 : 0)[0] == 1;
        if (hasId)
        {
            try
            {
                communicator = NcclCommunicator.Join(
                    library!, id, collectives.StageSize, collectives.StageRank, bindDevice, JoinLimit, collectives.Aborted);
            }
            catch (NcclException exception)
            {
                problem = exception.Message;
            }
        }

        var failed = Gather(collectives, communicator is null ? 1 : 0).IndexOf(1);
        if (failed < 0)
        {
            return $"sums from GPU to GPU over NCCL {library!.Version}, in its own order: the last bits may differ from those of other ways";
        }

        communicator?.Dispose();
        communicator = null;
        return Fallback(failed == collectives.StageRank && problem is not null ? problem : $"it failed on rank {failed}");
    }

    private static string Fallback(string reason) => $"sums through host memory, without NCCL: {reason}";

    private static (NcclUniqueId Id, string? Problem) MakeId(int rank, NcclLibrary library)
    {
        try
        {
            return (rank == 0 ? library.GetUniqueId() : default, null);
        }
        catch (NcclException exception)
        {
            return (default, exception.Message);
        }
    }

    private static Span<T> Gather<T>(StepCollectives collectives, T own)
        where T : unmanaged
    {
        var all = new T[collectives.StageSize];
        collectives.AllGather(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in own)), MemoryMarshal.AsBytes(all.AsSpan()), StepOperation.Agreement);
        return all;
    }
}
