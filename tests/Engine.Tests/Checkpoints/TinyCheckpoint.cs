using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>
/// A Llama of a few hundred weights, written in any layout: every element is a different small number, the norms are the same in all
/// shards.
/// </summary>
internal static class TinyCheckpoint
{
    public const string Parameters
        = """{"dim": 8, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 12, "multiple_of": 4, "norm_eps": 1e-5}""";

    public static LlamaConfig Config { get; }
        = LlamaParameters.Parse(System.Text.Encoding.UTF8.GetBytes(Parameters), "params.json").ToConfig(12);

    /// <summary>Writes params.json and all shards.</summary>
    public static void Write(string folder, int shardCount = 1, EmbeddingLayout layout = EmbeddingLayout.Whole,
        TensorType type = TensorType.Float32)
    {
        File.WriteAllText(Path.Combine(folder, "params.json"), Parameters);
        for (var shard = 0; shard < shardCount; shard++)
        {
            WriteShard(folder, shard, Tensors(shard, shardCount, layout, type));
        }
    }

    public static void WriteShard(string folder, int shard, IEnumerable<ShardTensor> tensors)
        => MetaShardWriter.Write(Path.Combine(folder, $"consolidated.{shard:00}.pth"), [.. tensors], CancellationToken.None);

    /// <summary>The tensors of a shard, to be changed before they are written.</summary>
    public static IEnumerable<ShardTensor> Tensors(int shard, int shardCount, EmbeddingLayout layout, TensorType type = TensorType.Float32)
        => LlamaTensors.Of(Config, layout).Select((tensor, number) => new ShardTensor(
            tensor.Name, type, tensor.ShapeInShard(shardCount), (offset, bytes) => Fill(offset, bytes,
                (number * 16) + (tensor.Split == TensorSplit.Replicated ? 0 : shard))));

    /// <summary>Bytes that depend on the tensor and the place, finite in every type.</summary>
    public static void Fill(long offset, Span<byte> bytes, int seed)
    {
        for (var index = 0; index < bytes.Length; index++)
        {
            bytes[index] = (byte)((((offset + index) * 7) + (seed * 31)) & 0x3F);
        }
    }
}
