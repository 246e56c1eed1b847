namespace Distributed.Engine.Checkpoints;

/// <summary>
/// How <c>tok_embeddings.weight</c> [vocabulary, dimension] is divided among the shards; seen from the shapes, no file names it.
/// </summary>
public enum EmbeddingLayout
{
    /// <summary>One shard holds all of it.</summary>
    Whole,

    /// <summary>Llama 1 and 2: every shard has all rows and its part of each (dim 1).</summary>
    SplitByDimension,

    /// <summary>Llama 3: every shard has its part of the rows (dim 0).</summary>
    SplitByVocabulary,
}
