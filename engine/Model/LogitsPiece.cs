using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The greatest logit of a slice, and the target's where it lies in the slice.</summary>
internal readonly record struct SliceSummary(int BestTokenId, float BestLogit, float TargetLogit);

/// <summary>
/// What one rank tells about one row of logits: its canonical groups, the summary of its slice, its greatest logits and its part of the
/// row, the last two only where they are wanted. All ranks have the same sizes, those of the longest slice, so the pieces of a step lie at
/// known places.
/// </summary>
/// <remarks>The structs travel as they lie in memory: ranks of one job run the same build on little-endian machines.</remarks>
internal readonly ref struct LogitsPiece
{
    /// <summary>Candidates that a rank sends, and that rank 0 gives: enough for all but the flattest distributions.</summary>
    public const int MaxCandidateCount = 64;

    private readonly Span<byte> _bytes;
    private readonly ShardPlan _plan;

    private LogitsPiece(Span<byte> bytes, ShardPlan plan)
    {
        _bytes = bytes;
        _plan = plan;
    }

    /// <summary>[local group]</summary>
    public Span<LogitsGroup> Groups => MemoryMarshal.Cast<byte, LogitsGroup>(_bytes[..GroupsByteCount(_plan)]);

    /// <summary>The slice in short.</summary>
    public ref SliceSummary Summary => ref MemoryMarshal.AsRef<SliceSummary>(_bytes[GroupsByteCount(_plan)..]);

    /// <summary>
    /// [MaxCandidateCount, or the longest slice where that is smaller], sorted; those that a shorter slice lacks are
    /// <see cref="LogitCandidate.None"/>. Only with <see cref="LogitsDetail.Alternatives"/> and more.
    /// </summary>
    public Span<LogitCandidate> Candidates
        => MemoryMarshal.Cast<byte, LogitCandidate>(_bytes.Slice(SummaryEnd(_plan), CandidatesByteCount(_plan)));

    /// <summary>[longest slice]; only with <see cref="LogitsDetail.FullRow"/>.</summary>
    public Span<float> Row => MemoryMarshal.Cast<byte, float>(_bytes[(SummaryEnd(_plan) + CandidatesByteCount(_plan))..]);

    /// <summary>The piece at the start of <paramref name="bytes"/>.</summary>
    public static LogitsPiece At(Span<byte> bytes, ShardPlan plan, LogitsDetail detail) => new(bytes[..ByteCount(plan, detail)], plan);

    /// <summary>Bytes of a piece.</summary>
    public static int ByteCount(ShardPlan plan, LogitsDetail detail)
        => SummaryEnd(plan)
            + (detail >= LogitsDetail.Alternatives ? CandidatesByteCount(plan) : 0)
            + (detail == LogitsDetail.FullRow ? plan.MaxVocabularyCount * sizeof(float) : 0);

    private static int SummaryEnd(ShardPlan plan) => GroupsByteCount(plan) + Unsafe.SizeOf<SliceSummary>();

    private static int GroupsByteCount(ShardPlan plan) => plan.VocabularyGroupCount * Unsafe.SizeOf<LogitsGroup>();

    private static int CandidatesByteCount(ShardPlan plan)
        => Math.Min(MaxCandidateCount, plan.MaxVocabularyCount) * Unsafe.SizeOf<LogitCandidate>();
}
