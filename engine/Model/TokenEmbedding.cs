using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>
/// hidden[token] = E[token id]. Where every rank has some columns of E (Llama 1 and 2) they are gathered; where it has some rows (Llama 3)
/// the owner gives the row, the others zeros, and they are summed.
/// </summary>
/// <remarks>Each element gets +0 added: a sum turns -0 into +0, so the other layouts must as well.</remarks>
internal sealed unsafe class TokenEmbedding : IDisposable
{
    private readonly ModelContext _context;
    private readonly WeightMatrix _embedding;
    private readonly EmbeddingLayout _layout;
    private readonly NativeBuffer _part;
    private readonly NativeBuffer _all;

    public TokenEmbedding(ModelContext context, WeightMatrix embedding, EmbeddingLayout layout)
    {
        _context = context;
        _embedding = embedding;
        _layout = layout;
        var gathered = layout == EmbeddingLayout.SplitByDimension ? (long)context.Options.MaxTokensPerStep * context.Config.Dimension : 0;
        _part = new NativeBuffer(gathered / context.Plan.WorldSize); // [token, column]
        _all = new NativeBuffer(gathered); // [rank, token, column]
    }

    /// <summary>Bytes allocated.</summary>
    public long ByteCount => _part.ByteCount + _all.ByteCount;

    /// <summary>Writes the residual stream of the step's tokens.</summary>
    public void Embed(ReadOnlySpan<StepToken> tokens)
    {
        var dimension = _context.Config.Dimension;
        var hidden = new Span<float>(_context.Buffers.Hidden, tokens.Length * dimension);
        switch (_layout)
        {
            case EmbeddingLayout.SplitByDimension:
                GatherColumns(tokens, hidden);
                break;
            case EmbeddingLayout.SplitByVocabulary:
                ReadRows(tokens, _context.Plan.Vocabulary, hidden);
                _context.CheckFinite(_context.Buffers.Hidden, hidden.Length, StepStage.Embedding);
                _context.Collectives.AllReduce(hidden, StepOperation.Embedding);
                break;
            default:
                ReadRows(tokens, new ShardRange(0, _context.Config.VocabularySize), hidden);
                _context.CheckFinite(_context.Buffers.Hidden, hidden.Length, StepStage.Embedding);
                break;
        }
    }

    public void Dispose()
    {
        _part.Dispose();
        _all.Dispose();
    }

    private void GatherColumns(ReadOnlySpan<StepToken> tokens, Span<float> hidden)
    {
        var dimension = _context.Config.Dimension;
        var columns = _context.Plan.EmbeddingColumns.Count;
        var part = new Span<float>(_part.Data, tokens.Length * columns);
        var all = new Span<float>(_all.Data, tokens.Length * dimension);
        ReadRows(tokens, new ShardRange(0, _context.Config.VocabularySize), part);
        _context.CheckFinite(_part.Data, part.Length, StepStage.Embedding);
        _context.Collectives.AllGather(part, all, StepOperation.Embedding);
        for (var rank = 0; rank < _context.Plan.WorldSize; rank++)
        {
            for (var token = 0; token < tokens.Length; token++)
            {
                all.Slice(((rank * tokens.Length) + token) * columns, columns).CopyTo(hidden[((token * dimension) + (rank * columns))..]);
            }
        }
    }

    private void ReadRows(ReadOnlySpan<StepToken> tokens, ShardRange owned, Span<float> rows)
    {
        var columns = _embedding.ColumnCount;
        for (var token = 0; token < tokens.Length; token++)
        {
            var row = rows.Slice(token * columns, columns);
            var index = tokens[token].TokenId - owned.Start;
            if (index < 0 || index >= owned.Count)
            {
                row.Clear();
                continue;
            }

            _embedding.ReadRow(index, row);
            foreach (ref var element in row)
            {
                element += 0f;
            }
        }
    }
}
