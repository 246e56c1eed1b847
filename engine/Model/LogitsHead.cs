using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// logits = output . norm(hidden), this rank's slice of the vocabulary, for the tokens whose logits are wanted and no others; and the
/// pieces that rank 0 needs to know of them.
/// </summary>
/// <remarks>
/// Rows that may be asked for again, those of which candidates were wanted, stay until the next step. The others, such as those of a whole
/// prompt that is being scored, pass through a buffer of <see cref="TransientRowCount"/> rows.
/// </remarks>
internal sealed unsafe class LogitsHead : IDisposable
{
    private const int TransientRowCount = 32;

    private readonly ModelContext _context;
    private readonly LlamaWeights _weights;
    private readonly NativeBuffer _logits; // [row, longest slice of any rank]
    private readonly RangeBody _normalizeRows;
    private readonly RangeBody _summarizeRows;
    private readonly int _rowCapacity;
    private readonly int[] _outputs; // [row], the output that the row belongs to
    private readonly int[] _rows; // [output], the row that it stays in, or -1
    private readonly int[] _pieceOffsets; // [output]
    private byte[] _answer = [];
    private StepCommand _command = new();
    private int _rowStart;

    public LogitsHead(ModelContext context, LlamaWeights weights)
    {
        _context = context;
        _weights = weights;
        _rowCapacity = context.Options.MaxBatchSize + TransientRowCount;
        _logits = new NativeBuffer((long)_rowCapacity * context.Plan.MaxVocabularyCount);
        _outputs = new int[_rowCapacity];
        _rows = new int[context.Options.MaxTokensPerStep];
        _pieceOffsets = new int[context.Options.MaxTokensPerStep];
        _normalizeRows = NormalizeRows;
        _summarizeRows = SummarizeRows;
    }

    /// <summary>Bytes allocated, as far as they do not depend on the steps.</summary>
    public long ByteCount => _logits.ByteCount;

    private int SliceLength => _context.Plan.Vocabulary.Count;

    private int RowStride => _context.Plan.MaxVocabularyCount;

    /// <summary>The rank's answer to the step, see <see cref="StepAnswer"/>; valid until the next step.</summary>
    public ReadOnlySpan<byte> Run(StepCommand command)
    {
        _command = command;
        var length = PlacePieces(command.Outputs);
        var kept = 0;
        for (var output = 0; output < command.Outputs.Length; output++)
        {
            var keep = command.Outputs[output].Detail >= LogitsDetail.Candidates;
            _rows[output] = keep ? kept : -1;
            if (keep)
            {
                _outputs[kept++] = output;
            }
        }

        RunTransientRows(kept);
        StepAnswer.WriteStage(_answer, _context.FirstBadStage);
        return _answer.AsSpan(0, length);
    }

    /// <summary>
    /// This rank's slice of a row of the last step, of which candidates were wanted: [longest slice of any rank], its own first.
    /// </summary>
    public ReadOnlySpan<float> KeptRow(int output) => new(Row(_rows[output]), RowStride);

    /// <summary>Whether <see cref="KeptRow"/> has the row of this output of the last step.</summary>
    public bool IsKept(int output) => output >= 0 && output < _command.Outputs.Length && _rows[output] >= 0;

    public void Dispose() => _logits.Dispose();

    // The kept rows go with the first of the others; the weights are read once for as many rows as there is room for.
    private void RunTransientRows(int kept)
    {
        var outputs = _command.Outputs;
        var filled = kept;
        _rowStart = 0;
        for (var output = 0; output < outputs.Length; output++)
        {
            if (_rows[output] >= 0)
            {
                continue;
            }

            _outputs[filled++] = output;
            if (filled == _rowCapacity)
            {
                RunRows(filled);
                _rowStart = kept;
                filled = kept;
            }
        }

        RunRows(filled);
    }

    private void RunRows(int rowEnd)
    {
        var rowCount = rowEnd - _rowStart;
        if (rowCount == 0)
        {
            return;
        }

        _context.Pool.For(rowCount, ResidualStream.TokenGrain, _normalizeRows);
        _weights.Output.Multiply(_context.Buffers.Arranged, rowCount, Row(_rowStart), RowStride);
        for (var row = _rowStart; row < rowEnd; row++)
        {
            _context.CheckFinite(Row(row), SliceLength, StepStage.Logits(_context.Config.LayerCount));
        }

        _context.Pool.For(rowCount, 1, _summarizeRows);
    }

    private void NormalizeRows(int start, int end)
    {
        var buffers = _context.Buffers;
        var layout = _weights.Output.InputLayout;
        var dimension = _context.Config.Dimension;
        for (var index = start; index < end; index++)
        {
            var token = _command.Outputs[_outputs[_rowStart + index]].TokenIndex;
            var normalized = buffers.Partial + ((nint)index * dimension);
            _context.Kernels.RmsNorm(
                buffers.Hidden + ((nint)token * dimension), _weights.Norm.Data, normalized, dimension, _context.Config.NormEpsilon);
            layout.Arrange(normalized, buffers.Arranged + ((nint)index * layout.PaddedLength));
        }
    }

    private void SummarizeRows(int start, int end)
    {
        for (var row = _rowStart + start; row < _rowStart + end; row++)
        {
            var wanted = _command.Outputs[_outputs[row]];
            var piece = LogitsPiece.At(_answer.AsSpan(_pieceOffsets[_outputs[row]]), _context.Plan, wanted.Detail);
            Summarize(Row(row), wanted, piece);
        }
    }

    private void Summarize(float* logits, StepOutput wanted, LogitsPiece piece)
    {
        var slice = _context.Plan.Vocabulary;
        var groups = piece.Groups;
        var best = 0;
        for (var group = 0; group < groups.Length; group++)
        {
            var range = _context.Plan.VocabularyGroup(group);
            groups[group] = _context.Kernels.Summarize(logits + range.Start, range.Count, wanted.Temperature);
            best = groups[group].Maximum > groups[best].Maximum ? group : best;
        }

        var maximum = groups[best].Maximum;
        var bestRange = _context.Plan.VocabularyGroup(best);
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

    // Returns the length of the answer.
    private int PlacePieces(ReadOnlySpan<StepOutput> outputs)
    {
        var length = StepAnswer.HeaderByteCount;
        for (var output = 0; output < outputs.Length; output++)
        {
            _pieceOffsets[output] = length;
            length = checked(length + LogitsPiece.ByteCount(_context.Plan, outputs[output].Detail));
        }

        StepAnswer.Reserve(ref _answer, length);
        return length;
    }

    private float* Row(int row) => _logits.Data + ((nint)row * RowStride);
}
