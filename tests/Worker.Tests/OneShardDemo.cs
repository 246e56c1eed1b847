using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;

namespace Distributed.Worker.Tests;

/// <summary>The demo checkpoint as a single shard, so that one process can run it without a launcher.</summary>
public sealed class OneShardDemo : IDisposable
{
    // Of the tensors that Meta's layout splits, those along the second dimension; the norms are whole in every shard.
    private static readonly string[] SplitByColumn = ["tok_embeddings.weight", "attention.wo.weight", "feed_forward.w2.weight"];

    private readonly TemporaryFolder _folder = new();

    public OneShardDemo()
        : this(damagedLayer: null)
    {
    }

    /// <summary>With infinity among the weights of <paramref name="damagedLayer"/>, if there is one.</summary>
    internal OneShardDemo(int? damagedLayer)
    {
        using var demo = MetaCheckpoint.Open(Repository.DemoCheckpoint, tokenizerVocabularySize: 1024);
        using var first = demo.MapShard(0);
        using var second = demo.MapShard(1);
        var names = Enumerable.Range(0, demo.Config.LayerCount)
            .SelectMany(layer => new[]
            {
                "attention.wq", "attention.wk", "attention.wv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3",
                "attention_norm", "ffn_norm",
            }.Select(name => $"layers.{layer}.{name}.weight"));
        MetaShardWriter.Write(
            Path.Combine(_folder.Path, "consolidated.00.pth"),
            [.. names.Concat(["tok_embeddings.weight", "norm.weight", "output.weight"])
                .Select(name => Joined(first[name], second[name], isDamaged: name == $"layers.{damagedLayer}.feed_forward.w2.weight"))],
            CancellationToken.None);
        File.Copy(Path.Combine(Repository.DemoCheckpoint, "params.json"), Path.Combine(_folder.Path, "params.json"));
    }

    /// <summary>The folder of the checkpoint.</summary>
    public string CheckpointDirectory => _folder.Path;

    public void Dispose() => _folder.Dispose();

    private static ShardTensor Joined(MappedTensor first, MappedTensor second, bool isDamaged)
    {
        if (first.Shape.Length == 1)
        {
            return Tensor(first, first.Shape, Bytes(first));
        }

        var byColumn = SplitByColumn.Any(name => first.Name.EndsWith(name, StringComparison.Ordinal));
        var shape = byColumn ? first.Shape.SetItem(1, first.Shape[1] * 2) : first.Shape.SetItem(0, first.Shape[0] * 2);
        var rows = (int)(byColumn ? first.Shape[0] : 1); // pieces that follow each other in turn
        var (left, right) = (Bytes(first), Bytes(second));
        var pieceLength = left.Length / rows;
        var joined = new byte[left.Length + right.Length];
        for (var row = 0; row < rows; row++)
        {
            left.AsSpan(row * pieceLength, pieceLength).CopyTo(joined.AsSpan(2 * row * pieceLength));
            right.AsSpan(row * pieceLength, pieceLength).CopyTo(joined.AsSpan(((2 * row) + 1) * pieceLength));
        }

        if (isDamaged)
        {
            (joined[0], joined[1]) = (0x80, 0x7F); // infinity in bfloat16
        }

        return Tensor(first, shape, joined);
    }

    private static ShardTensor Tensor(MappedTensor like, ImmutableArray<long> shape, byte[] bytes)
        => new(like.Name, like.Type, shape, (offset, destination) => bytes.AsSpan((int)offset, destination.Length).CopyTo(destination));

    private static unsafe byte[] Bytes(MappedTensor tensor)
    {
        var count = (int)tensor.Shape.Aggregate(1L, (count, extent) => count * extent);
        return new ReadOnlySpan<byte>((void*)tensor.Data, count * sizeof(ushort)).ToArray(); // bfloat16
    }
}
