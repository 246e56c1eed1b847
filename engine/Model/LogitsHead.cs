using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

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
    private readonly NativeBuffer _norm; // [dimension]
    private readonly LinearLayer _output;
    private readonly NativeBuffer _logits; // [row, longest slice of any rank]
    private readonly RangeBody _normalizeRows;
    private readonly RangeBody _summarizeRows;
    private readonly int _rowCapacity;
    private readonly int[] _outputs; // [row], the output that the row belongs to
    private readonly int[] _rows; // [output], the row that it stays in, or -1
    private StepPieces? _pieces;
    private StepCommand _command = new();
    private int _rowStart;

    public LogitsHead(ModelContext context, NativeBuffer norm, LinearLayer output)
    {
        _context = context;
        _norm = norm;
        _output = output;
        _rowCapacity = context.Options.MaxBatchSize + TransientRowCount;
        _logits = new NativeBuffer((long)_rowCapacity * context.Plan.MaxVocabularyCount);
        _outputs = new int[_rowCapacity];
        _rows = new int[context.Options.MaxTokensPerStep];
        _normalizeRows = NormalizeRows;
        _summarizeRows = SummarizeRows;
    }

    /// <summary>Bytes allocated, as far as they do not depend on the steps.</summary>
    public long ByteCount => _logits.ByteCount;

    private int SliceLength => _context.Plan.Vocabulary.Count;

    private int RowStride => _context.Plan.MaxVocabularyCount;

    /// <summary>Writes the rank's pieces of the step's outputs.</summary>
    public void Run(StepCommand command, StepPieces pieces)
    {
        (_command, _pieces) = (command, pieces);
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
    }

    /// <summary>
    /// This rank's slice of a row of the last step, of which candidates were wanted: [longest slice of any rank], its own first.
    /// </summary>
    public ReadOnlySpan<float> KeptRow(int output) => new(Row(_rows[output]), RowStride);

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
        _output.Multiply(_context.Buffers.Arranged, rowCount, Row(_rowStart), RowStride);
        for (var row = _rowStart; row < rowEnd; row++)
        {
            _context.CheckFinite(Row(row), SliceLength, StepStage.Logits(_context.Config.LayerCount));
        }

        _context.Pool.For(rowCount, 1, _summarizeRows);
    }

    private void NormalizeRows(int start, int end)
    {
        var buffers = _context.Buffers;
        var layout = _output.InputLayout;
        var dimension = _context.Config.Dimension;
        for (var index = start; index < end; index++)
        {
            var token = _command.Outputs[_outputs[_rowStart + index]].TokenIndex;
            var normalized = buffers.Partial + ((nint)index * dimension);
            _context.Kernels.RmsNorm(
                buffers.Hidden + ((nint)token * dimension), _norm.Data, normalized, dimension, _context.Config.NormEpsilon);
            layout.Arrange(normalized, buffers.Arranged + ((nint)index * layout.PaddedLength));
        }
    }

    private void SummarizeRows(int start, int end)
    {
        for (var row = _rowStart + start; row < _rowStart + end; row++)
        {
            var wanted = _command.Outputs[_outputs[row]];
            LogitsSummary.Write(_context.Kernels, _context.Plan, Row(row), wanted, _pieces!.At(_outputs[row], wanted.Detail)); // set by Run
        }
    }

    private float* Row(int row) => _logits.Data + ((nint)row * RowStride);
}
