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
    /// <summary>Binds the calling thread to the processor of <see cref="ProcessorOf"/>, if there is one.</summary>
    /// <param name="environment">Of this rank.</param>
    /// <returns>Whether it is bound now. It should not be the main thread, whose processors all threads get that the runtime starts later.</returns>
    public static bool TryBind(RankEnvironment environment)
        => ProcessorOf(environment, ProcessorBinding.AllowedCount(), ProcessorBinding.OnlineCount()) is { } processor && ProcessorBinding.TryBind(processor);

    /// <summary>
    /// The processor of a rank, where its host has more ranks than processors, and as many for each of these. Neighbours have different ones, as those that share a
    /// dimension of a mesh work at the same time.
    /// </summary>
    /// <param name="environment">Of this rank. Its rank counts, and not the one on its host, which <c>--virtual-local-rank</c> makes 0 for all.</param>
    /// <param name="allowedCount">Processors that the rank may use.</param>
    /// <param name="onlineCount">Processors of the machine. A part of them is what somebody has bound the rank to, and who shares that part is not known.</param>
    /// <returns><see langword="null"/> where the rank is better left to the system.</returns>
    internal static int? ProcessorOf(RankEnvironment environment, int allowedCount, int onlineCount)
        => allowedCount > 1 && allowedCount == onlineCount && environment.LocalWorldSize > allowedCount && environment.LocalWorldSize % allowedCount == 0
            ? environment.Rank % allowedCount
            : null;
}
