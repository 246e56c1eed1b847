using System.Globalization;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Output;

/// <summary>What a run has cost.</summary>
/// <param name="LoadTime">From the start of the process until the model stood ready.</param>
/// <param name="Generation">Tokens and time of the steps.</param>
/// <param name="ThreadCount">Compute threads of each rank.</param>
/// <param name="PeakResidentByteCounts">[rank], bytes.</param>
internal sealed record RunFigures(
    TimeSpan LoadTime, GenerationStatistics Generation, int ThreadCount, IReadOnlyList<long> PeakResidentByteCounts)
{
    /// <summary>The closing line of a run.</summary>
    public override string ToString()
    {
        var ranks = PeakResidentByteCounts.Count;
        var memory = string.Join(" + ", PeakResidentByteCounts.Select(bytes => bytes >> 20));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{ranks} {(ranks == 1 ? "rank" : "ranks")} x {ThreadCount} {(ThreadCount == 1 ? "thread" : "threads")}"
            + $" | loaded in {LoadTime.TotalSeconds:0.00} s"
            + $" | prefill {Generation.PrefillTokensPerSecond:0.#} tokens/s | decode {Generation.DecodeTokensPerSecond:0.#} tokens/s"
            + $" | memory {memory} MiB");
    }
}
