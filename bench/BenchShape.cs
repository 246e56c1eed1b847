using Distributed.Engine.Checkpoints;

namespace Distributed.Bench;

/// <summary>Shapes of public models.</summary>
internal static class BenchShape
{
    /// <summary>The shape that <c>--shape</c> names.</summary>
    public static LlamaConfig Named(string name) => name switch
    {
        "1b" => Create(dimension: 2048, layers: 22, heads: 32, keyValueHeads: 4, hidden: 5632),
        "110m" => Create(dimension: 768, layers: 12, heads: 12, keyValueHeads: 12, hidden: 2048),
        _ => throw new ArgumentException($"--shape {name} is not one of 1b (TinyLlama) and 110m."),
    };

    /// <summary>Elements of the matrices that a token passes through; of the embedding it reads one row.</summary>
    public static long MatrixElementCount(LlamaConfig config)
    {
        long dimension = config.Dimension;
        var keyValue = (long)config.KeyValueHeadCount * config.HeadDimension;
        var layer = (2 * dimension * dimension) + (2 * keyValue * dimension) + (3 * dimension * config.HiddenDimension);
        return (config.LayerCount * layer) + (config.VocabularySize * dimension);
    }

    /// <summary>Elements of the keys and values of one position, which every later token reads.</summary>
    public static long KeyValueElementCount(LlamaConfig config) => 2L * config.LayerCount * config.KeyValueHeadCount * config.HeadDimension;

    private static LlamaConfig Create(int dimension, int layers, int heads, int keyValueHeads, int hidden)
        => new()
        {
            Dimension = dimension,
            LayerCount = layers,
            HeadCount = heads,
            KeyValueHeadCount = keyValueHeads,
            HiddenDimension = hidden,
            VocabularySize = 32000,
            NormEpsilon = 1e-5f,
        };
}
