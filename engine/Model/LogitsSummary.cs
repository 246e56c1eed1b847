using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>What rank 0 needs to know of a rank's slice of a row of logits, in canonical arithmetic.</summary>
internal static unsafe class LogitsSummary
{
    /// <summary>Fills the piece of one output.</summary>
    /// <param name="kernels">Arithmetic.</param>
    /// <param name="plan">This rank's part.</param>
    /// <param name="logits">[this rank's slice of the vocabulary]</param>
    /// <param name="wanted">The output.</param>
    /// <param name="piece">Receives groups and summary, and candidates and the row where they are wanted.</param>
    public static void Write(KernelSet kernels, ShardPlan plan, float* logits, StepOutput wanted, LogitsPiece piece)
    {
        var slice = plan.Vocabulary;
        var groups = piece.Groups;
        var best = 0;
        for (var group = 0; group < groups.Length; group++)
        {
            var range = plan.VocabularyGroup(group);
            groups[group] = kernels.Summarize(logits + range.Start, range.Count, wanted.Temperature);
            best = groups[group].Maximum > groups[best].Maximum ? group : best;
        }

        var maximum = groups[best].Maximum;
        var bestRange = plan.VocabularyGroup(best);
        var index = Math.Max(0, LogitsKernel.IndexOf(logits + bestRange.Start, bestRange.Count, maximum));
        var target = wanted.TargetTokenId - slice.Start;
        piece.Summary = new SliceSummary(
            slice.Start + bestRange.Start + index, maximum, target >= 0 && target < slice.Count ? logits[target] : 0);
        if (wanted.Detail != LogitsDetail.Best)
        {
            KeepCandidates(logits, slice, piece.Candidates);
        }

        if (wanted.Detail == LogitsDetail.FullRow)
        {
            new ReadOnlySpan<float>(logits, slice.Count).CopyTo(piece.Row);
        }
    }

    private static void KeepCandidates(float* logits, ShardRange slice, Span<LogitCandidate> candidates)
    {
        Span<int> ids = stackalloc int[LogitsPiece.MaxCandidateCount];
        Span<float> values = stackalloc float[LogitsPiece.MaxCandidateCount];
        ids = ids[..candidates.Length];
        var count = LogitsKernel.KeepGreatest(logits, slice.Count, slice.Start, ids, values[..candidates.Length], 0);
        for (var i = 0; i < candidates.Length; i++)
        {
            candidates[i] = i < count ? new LogitCandidate(ids[i], values[i]) : LogitCandidate.None;
        }
    }
}
