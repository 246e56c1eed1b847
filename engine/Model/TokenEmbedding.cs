using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>
/// hidden[token] = E[token id]. Every rank reads the whole row in place, in whichever files it lies: a few pages from the page cache cost less than
/// a collective.
/// </summary>
internal sealed unsafe class TokenEmbedding(ModelContext context, EmbeddingTable table)
{
    /// <summary>Writes the residual stream of a part of the step's tokens.</summary>
    public void Embed(ReadOnlySpan<StepToken> tokens)
    {
        var dimension = context.Config.Dimension;
        var hidden = new Span<float>(context.Hidden, tokens.Length * dimension);
        for (var token = 0; token < tokens.Length; token++)
        {
            table.ReadRow(tokens[token].TokenId, hidden.Slice(token * dimension, dimension));
        }

        context.CheckFinite(context.Hidden, hidden.Length, StepStage.Embedding);
    }
}
