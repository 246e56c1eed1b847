using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>How a tensor is divided among the shards of a checkpoint.</summary>
internal enum TensorSplit
{
    /// <summary>Every shard has all of it.</summary>
    Replicated,

    /// <summary>Along dim 0: fairscale's ColumnParallelLinear and Llama 3's embedding.</summary>
    Rows,

    /// <summary>Along dim 1: fairscale's RowParallelLinear and the embedding of Llama 1 and 2.</summary>
    Columns,
}

/// <summary>A tensor that a Llama has.</summary>
/// <param name="Name">Meta's name.</param>
/// <param name="Shape">Of the whole tensor, outermost first.</param>
/// <param name="Split">How shards divide it.</param>
internal readonly record struct LlamaTensor(string Name, ImmutableArray<long> Shape, TensorSplit Split)
{
    /// <summary>The shape of one part; the split extent is divisible, which <see cref="LlamaTensors.RequireDivisible"/> checks.</summary>
    public ImmutableArray<long> ShapeInShard(int shardCount) => Split switch
    {
        TensorSplit.Rows => Shape.SetItem(0, Shape[0] / shardCount),
        TensorSplit.Columns => Shape.SetItem(1, Shape[1] / shardCount),
        _ => Shape,
    };
}

/// <summary>
/// Tensor names, shapes and splits as Meta has them, and names in the same manner for what only other models of the family have (meta-llama/llama, llama/model.py; meta-llama/llama3 for
/// <see cref="EmbeddingLayout.SplitByVocabulary"/>).
/// </summary>
internal static class LlamaTensors
{
    public const string Embedding = "tok_embeddings.weight";
    public const string Output = "output.weight";

    /// <summary>A matrix that is stored as those of all layers are.</summary>
    public const string FirstMatrix = "layers.0.attention.wq.weight";

    /// <summary>Every tensor of the model, in the order of the forward pass.</summary>
    public static IEnumerable<LlamaTensor> Of(LlamaConfig config, EmbeddingLayout layout)
    {
        long dimension = config.Dimension, hidden = config.HiddenDimension, vocabulary = config.VocabularySize;
        long query = config.QueryDimension, keyValue = (long)config.KeyValueHeadCount * config.HeadDimension;
        yield return new(Embedding, [vocabulary, dimension], layout switch
        {
            EmbeddingLayout.SplitByDimension => TensorSplit.Columns,
            EmbeddingLayout.SplitByVocabulary => TensorSplit.Rows,
            _ => TensorSplit.Replicated,
        });

        for (var layer = 0; layer < config.LayerCount; layer++)
        {
            yield return new($"layers.{layer}.attention_norm.weight", [dimension], TensorSplit.Replicated);
            yield return new($"layers.{layer}.attention.wq.weight", [query, dimension], TensorSplit.Rows);
            yield return new($"layers.{layer}.attention.wk.weight", [keyValue, dimension], TensorSplit.Rows);
            yield return new($"layers.{layer}.attention.wv.weight", [keyValue, dimension], TensorSplit.Rows);
            yield return new($"layers.{layer}.attention.wo.weight", [dimension, query], TensorSplit.Columns);
            if (config.HasQueryKeyValueBias)
            {
                yield return new($"layers.{layer}.attention.wq.bias", [query], TensorSplit.Rows);
                yield return new($"layers.{layer}.attention.wk.bias", [keyValue], TensorSplit.Rows);
                yield return new($"layers.{layer}.attention.wv.bias", [keyValue], TensorSplit.Rows);
            }

            if (config.HasQueryKeyNorm)
            {
                yield return new($"layers.{layer}.attention.q_norm.weight", [config.HeadDimension], TensorSplit.Replicated);
                yield return new($"layers.{layer}.attention.k_norm.weight", [config.HeadDimension], TensorSplit.Replicated);
            }

            yield return new($"layers.{layer}.ffn_norm.weight", [dimension], TensorSplit.Replicated);
            yield return new($"layers.{layer}.feed_forward.w1.weight", [hidden, dimension], TensorSplit.Rows);
            yield return new($"layers.{layer}.feed_forward.w3.weight", [hidden, dimension], TensorSplit.Rows);
            yield return new($"layers.{layer}.feed_forward.w2.weight", [dimension, hidden], TensorSplit.Columns);
        }

        yield return new("norm.weight", [dimension], TensorSplit.Replicated);
        yield return new(Output, [vocabulary, dimension], TensorSplit.Rows);
    }

    /// <summary>Frequencies that old files carry; they follow from the config and are computed anew.</summary>
    public static bool IsIgnored(string name)
        => name == "rope.freqs" || name.EndsWith(".attention.inner_attention.rope.freqs", StringComparison.Ordinal);

    /// <summary>What does not divide among <paramref name="shardCount"/> shards; <see langword="null"/> where all does.</summary>
    public static string? RequireDivisible(LlamaConfig config, int shardCount)
    {
        ReadOnlySpan<(string Name, int Value)> extents =
        [
            ("dim", config.Dimension), ("n_heads", config.HeadCount), ("n_kv_heads", config.KeyValueHeadCount),
            ("the hidden dimension", config.HiddenDimension), ("the vocabulary", config.VocabularySize),
        ];
        foreach (var (name, value) in extents)
        {
            if (value % shardCount != 0)
            {
                return $"{name} {value} is not divisible by its {shardCount} shards";
            }
        }

        return null;
    }
}
