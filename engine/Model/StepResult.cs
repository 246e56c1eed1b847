using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The outputs of a step, in the order in which they were asked for; valid until the next step.</summary>
public sealed class StepResult
{
    private readonly ShardPlan _plan;
    private readonly int _vocabularySize;
    private readonly Entry[] _entries; // [output]
    private readonly LogitsGroup[] _groups; // [group], of one output while it is merged
    private readonly int[] _cursors; // [rank], likewise
    private LogitCandidate[] _candidates = [];
    private float[] _rows = [];

    internal StepResult(ShardPlan plan, int maxOutputCount)
    {
        _plan = plan;
        _vocabularySize = plan.VocabularyOf(plan.WorldSize - 1).End;
        _entries = new Entry[maxOutputCount];
        _groups = new LogitsGroup[plan.WorldSize * plan.VocabularyGroupCount];
        _cursors = new int[plan.WorldSize];
    }

    /// <summary>Outputs of the step.</summary>
    public int Count { get; private set; }

    /// <summary>The output of this number.</summary>
    public LogitsResult this[int output]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(output);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(output, Count);
            ref readonly var entry = ref _entries[output];
            return new LogitsResult
            {
                BestTokenId = entry.Best.BestTokenId,
                BestLogit = entry.Best.BestLogit,
                LogSumExp = entry.LogSumExp,
                TargetLogit = entry.TargetLogit,
                ScaledMaximum = entry.ScaledMaximum,
                ScaledSum = entry.ScaledSum,
                Candidates = _candidates.AsSpan(entry.CandidateStart, entry.CandidateCount),
                Row = _rows.AsSpan(entry.RowStart, entry.RowLength),
            };
        }
    }

    /// <summary>Merges the ranks' answers.</summary>
    /// <param name="command">The step.</param>
    /// <param name="answers">[rank, stride]</param>
    /// <param name="stride">Bytes of an answer.</param>
    internal void Merge(StepCommand command, Span<byte> answers, int stride)
    {
        var offset = StepAnswer.HeaderByteCount;
        Count = command.Outputs.Length;
        Reserve(command.Outputs);
        var (candidateStart, rowStart) = (0, 0);
        for (var output = 0; output < Count; output++)
        {
            var wanted = command.Outputs[output];
            ref var entry = ref _entries[output];
            entry = new Entry { CandidateStart = candidateStart, RowStart = rowStart };
            MergeSummaries(wanted, answers, stride, offset, ref entry);
            if (wanted.Detail != LogitsDetail.Best)
            {
                MergeCandidates(wanted, answers, stride, offset, ref entry);
            }

            if (wanted.Detail == LogitsDetail.FullRow)
            {
                entry.RowLength = _vocabularySize;
                for (var rank = 0; rank < _plan.WorldSize; rank++)
                {
                    var slice = _plan.VocabularyOf(rank);
                    Piece(answers, stride, offset, rank, wanted.Detail).Row[..slice.Count].CopyTo(_rows.AsSpan(rowStart + slice.Start));
                }
            }

            candidateStart += entry.CandidateCount;
            rowStart += entry.RowLength;
            offset += LogitsPiece.ByteCount(_plan, wanted.Detail);
        }
    }

    private void MergeSummaries(StepOutput wanted, Span<byte> answers, int stride, int offset, ref Entry entry)
    {
        for (var rank = 0; rank < _plan.WorldSize; rank++)
        {
            var piece = Piece(answers, stride, offset, rank, wanted.Detail);
            piece.Groups.CopyTo(_groups.AsSpan(rank * _plan.VocabularyGroupCount));
            var summary = piece.Summary;
            if (rank == 0 || summary.BestLogit > entry.Best.BestLogit)
            {
                entry.Best = summary;
            }

            if (wanted.TargetTokenId >= 0 && _plan.RankOfToken(wanted.TargetTokenId) == rank)
            {
                entry.TargetLogit = summary.TargetLogit;
            }
        }

        var total = CombineGroups(wanted.Temperature);
        entry.LogSumExp = (float)(total.Maximum + Math.Log(total.Sum));
        entry.ScaledMaximum = wanted.Temperature == 0 ? 0 : total.Maximum / wanted.Temperature;
        entry.ScaledSum = total.ScaledSum;
    }

    // The group tree: neighbours, then neighbours of those; a last one without a neighbour is carried up as it is.
    private LogitsGroup CombineGroups(float temperature)
    {
        for (var count = _groups.Length; count > 1; count = (count + 1) / 2)
        {
            for (var i = 0; i < count / 2; i++)
            {
                _groups[i] = LogitsGroup.Combine(_groups[2 * i], _groups[(2 * i) + 1], temperature);
            }

            if (count % 2 != 0)
            {
                _groups[count / 2] = _groups[count - 1];
            }
        }

        return _groups[0];
    }

    // Every rank's list is sorted; of equal logits the lower rank has the lower ids.
    private void MergeCandidates(StepOutput wanted, Span<byte> answers, int stride, int offset, ref Entry entry)
    {
        Array.Clear(_cursors);
        entry.CandidateCount = CandidateCapacity;
        foreach (ref var candidate in _candidates.AsSpan(entry.CandidateStart, entry.CandidateCount))
        {
            var best = -1;
            for (var rank = 0; rank < _plan.WorldSize; rank++)
            {
                var list = Piece(answers, stride, offset, rank, wanted.Detail).Candidates;
                if (_cursors[rank] < list.Length && list[_cursors[rank]].TokenId >= 0 && (best < 0 || list[_cursors[rank]].Logit > candidate.Logit))
                {
                    best = rank;
                    candidate = list[_cursors[rank]];
                }
            }

            _cursors[best]++;
        }
    }

    private LogitsPiece Piece(Span<byte> answers, int stride, int offset, int rank, LogitsDetail detail)
        => LogitsPiece.At(answers[((rank * stride) + offset)..], _plan, detail);

    private int CandidateCapacity => Math.Min(LogitsPiece.MaxCandidateCount, _vocabularySize);

    private void Reserve(ReadOnlySpan<StepOutput> outputs)
    {
        var (candidates, rows) = (0, 0);
        foreach (var output in outputs)
        {
            candidates += output.Detail == LogitsDetail.Best ? 0 : CandidateCapacity;
            rows += output.Detail == LogitsDetail.FullRow ? _vocabularySize : 0;
        }

        if (_candidates.Length < candidates)
        {
            _candidates = new LogitCandidate[candidates];
        }

        if (_rows.Length < rows)
        {
            _rows = new float[rows];
        }
    }

    private struct Entry
    {
        public SliceSummary Best;
        public float LogSumExp;
        public float TargetLogit;
        public float ScaledMaximum;
        public float ScaledSum;
        public int CandidateStart;
        public int CandidateCount;
        public int RowStart;
        public int RowLength;
    }
}
