using Distributed.Collectives.Hosting;

namespace Distributed.Collectives.Launching;

/// <summary>
/// Binds the thread that drives a rank to a processor, where a host has more ranks than processors. The system otherwise puts too many of them on one now and then, three
/// of four on one of two, and leaves them there for tens of milliseconds, in which every step of all ranks takes as long as three of them in turn.
/// </summary>
/// <remarks>
/// For ranks of which each computes on one thread, and all at the same time, as those of tensor parallelism do; stages of a pipeline have their work at different times, and are better
/// left to the system. Linux only, as <see cref="ProcessorBinding"/> is.
/// </remarks>
public static class RankBinding
{
    /// <summary>
    /// Binds the calling thread where the host has more ranks than it may use processors, and as many for each of these. Neighbours go to different ones, as those that share a
    /// dimension of a mesh work at the same time.
    /// </summary>
    /// <param name="environment">Of this rank. Its rank counts, and not the one on its host, which <c>--virtual-local-rank</c> makes 0 for all.</param>
    /// <returns>Whether it is bound now. It should not be the main thread, whose processors all threads get that the runtime starts later.</returns>
    public static bool TryBind(RankEnvironment environment)
    {
        ArgumentNullException.ThrowIfNull(environment);
        var count = ProcessorBinding.AllowedCount();
        return count > 1 && environment.LocalWorldSize > count && environment.LocalWorldSize % count == 0 && ProcessorBinding.TryBind(environment.Rank % count);
    }
}
