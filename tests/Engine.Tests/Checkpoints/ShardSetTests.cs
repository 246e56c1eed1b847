using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Checkpoints whose files are each intact but do not belong together.</summary>
public sealed class ShardSetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, EmbeddingLayout.Whole, TensorType.Float32)]
    [InlineData(2, EmbeddingLayout.SplitByDimension, TensorType.BFloat16)]
    [InlineData(2, EmbeddingLayout.SplitByVocabulary, TensorType.Float16)]
    public void Open_WrittenCheckpoint_ReadsBackEveryByte(int shardCount, EmbeddingLayout layout, TensorType type)
    {
        TinyCheckpoint.Write(_folder.Path, shardCount, layout, type);

        using var checkpoint = MetaCheckpoint.Open(_folder.Path, tokenizerVocabularySize: 12);

        Assert.Equal((shardCount, layout), (checkpoint.ShardCount, checkpoint.EmbeddingLayout));
        for (var shard = 0; shard < shardCount; shard++)
        {
            using var mapped = checkpoint.MapShard(shard);
            long byteCount = 0;
            foreach (var expected in TinyCheckpoint.Tensors(shard, shardCount, layout, type))
            {
                var actual = mapped[expected.Name];
                var bytes = new byte[expected.ElementCount * (type == TensorType.Float32 ? 4 : 2)];
                expected.Fill(0, bytes);
                Assert.Equal((type, expected.Name), (actual.Type, actual.Name));
                Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
                Assert.Equal(0, actual.Data % 64);
                Assert.Equal(bytes, BytesAt(actual.Data, bytes.Length));
                byteCount += bytes.Length;
            }

            Assert.Equal(byteCount, mapped.ByteCount);
        }
    }

    [Theory]
    [InlineData(EmbeddingLayout.Whole, 1)]
    [InlineData(EmbeddingLayout.SplitByVocabulary, 2)]
    public void Open_WithoutOutput_TiesItToTheEmbedding(EmbeddingLayout layout, int shardCount)
    {
        WriteShards(shardCount, layout, (_, tensors) => tensors.Where(tensor => tensor.Name != LlamaTensors.Output));

        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using var mapped = checkpoint.Map();

        Assert.Same(mapped[LlamaTensors.Embedding], mapped[LlamaTensors.Output]);
        Assert.Equal(shardCount, mapped[LlamaTensors.Output].Parts.Length);
        Assert.Throws<KeyNotFoundException>(() => mapped["layers.9.attention_norm.weight"]);
    }

    [Fact]
    public void Open_WithoutOutputAndEmbeddingByColumns_IsRefused()
        => RefusedTwoShards("lacks tensor 'output.weight', and the embedding, which is divided by columns, cannot take its place",
            (_, tensors) => tensors.Where(tensor => tensor.Name != LlamaTensors.Output));

    [Fact]
    public void Open_OldRopeFrequencies_AreIgnored()
    {
        WriteShards(1, EmbeddingLayout.Whole, (_, tensors) =>
        [
            .. tensors,
            Tensor("rope.freqs", TensorType.BFloat16, 1),
            Tensor("layers.0.attention.inner_attention.rope.freqs", TensorType.Float32, 1),
        ]);

        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using var shard = checkpoint.MapShard(0);

        Assert.False(shard.Contains("rope.freqs"));
        shard.VerifyChecksums(1, null, CancellationToken.None);
    }

    [Fact]
    public void Open_OnlyOneShardLacksATensor_NamesBoth()
        => RefusedTwoShards("consolidated.01.pth lacks tensor 'layers.1.attention.wv.weight'",
            (shard, tensors) => tensors.Where(tensor => shard == 0 || tensor.Name != "layers.1.attention.wv.weight"));

    [Fact]
    public void Open_OnlyOneShardLacksOutput_IsRefused()
        => RefusedTwoShards("consolidated.01.pth lacks tensor 'output.weight'",
            (shard, tensors) => tensors.Where(tensor => shard == 0 || tensor.Name != LlamaTensors.Output));

    [Fact]
    public void Open_NoEmbedding_IsRefused()
        => RefusedTwoShards("consolidated.00.pth lacks tensor 'tok_embeddings.weight'",
            (_, tensors) => tensors.Where(tensor => tensor.Name != LlamaTensors.Embedding));

    [Fact]
    public void Open_TensorOfAnotherModel_IsNamed()
        => RefusedTwoShards("consolidated.01.pth has tensor 'layers.0.attention.wq.bias', which the model of params.json does not have",
            (shard, tensors) => shard == 0 ? tensors : [.. tensors, Tensor("layers.0.attention.wq.bias", TensorType.Float32, 4)]);

    [Theory]
    [InlineData("norm.weight")]
    [InlineData("layers.1.feed_forward.w2.weight")]
    public void Open_ShapeOfAnotherModel_NamesBothShapes(string name)
        => RefusedTwoShards($"consolidated.01.pth has tensor '{name}' as [3, 3], but with 2 shards the model of params.json has it as",
            (shard, tensors) => tensors.Select(tensor => shard == 0 || tensor.Name != name ? tensor : tensor with { Shape = [3, 3] }));

    [Fact]
    public void Open_EmbeddingOfNeitherLayout_NamesAllShapes()
        => RefusedTwoShards(
            "has tensor 'tok_embeddings.weight' as [12, 8], but with 2 shards the model of params.json has it as [12, 4] or [6, 8]",
            (_, tensors) => tensors.Select(tensor => tensor.Name != LlamaTensors.Embedding ? tensor : tensor with { Shape = [12, 8] }));

    [Fact]
    public void Open_MixedTypes_NamesTensorsAndTypes()
        => RefusedTwoShards(
            "consolidated.01.pth has tensor 'norm.weight' in bfloat16 but 'tok_embeddings.weight' of the first shard is float32",
            (shard, tensors) => tensors.Select(tensor => shard == 0 || tensor.Name != "norm.weight" ? tensor
                : tensor with { Type = TensorType.BFloat16 }));

    [Fact]
    public void Open_NormsThatDiffer_AreNamed()
        => RefusedTwoShards("consolidated.01.pth has another 'layers.1.ffn_norm.weight' than the first shard",
            (shard, tensors) => tensors.Select(tensor => shard == 0 || tensor.Name != "layers.1.ffn_norm.weight" ? tensor
                : tensor with { Fill = (offset, bytes) => { tensor.Fill(offset, bytes); bytes[^1] ^= 1; } }));

    [Fact]
    public void Open_TooManyShardsForTheHeads_SaysWhatDoesNotDivide()
    {
        TinyCheckpoint.Write(_folder.Path, 4, EmbeddingLayout.SplitByDimension);

        Refused("n_kv_heads 2 is not divisible by its 4 shards");
    }

    [Fact]
    public void Open_MissingShard_NamesIt()
    {
        TinyCheckpoint.Write(_folder.Path, 2, EmbeddingLayout.SplitByDimension);
        File.Move(_folder["consolidated.01.pth"], _folder["consolidated.02.pth"]);

        Refused("consolidated.01.pth is missing: the folder holds consolidated.00.pth, consolidated.02.pth");
    }

    [Fact]
    public void Open_LastShardMissing_IsSeenFromTheShapes()
    {
        TinyCheckpoint.Write(_folder.Path, 2, EmbeddingLayout.SplitByDimension);
        File.Delete(_folder["consolidated.01.pth"]);

        Refused("has rows for 6 tokens but params.json has vocab_size 12");
    }

    [Theory]
    [InlineData("model.pth")]
    [InlineData("consolidated.1.pth")]
    [InlineData("consolidated.00.copy.pth")]
    public void Open_OtherPthBesideTheShards_NamesIt(string name)
    {
        TinyCheckpoint.Write(_folder.Path);
        File.WriteAllText(_folder[name], "");

        Refused($"{name} is no shard (");
    }

    [Fact]
    public void Open_NoFolderNoShardsNoParams_SaysSo()
    {
        var error = Assert.Throws<CheckpointException>(() => MetaCheckpoint.Open(_folder["nowhere"], 12));
        Assert.Contains("does not exist; give it with --ckpt-dir", error.Message, StringComparison.Ordinal);

        Refused("No checkpoint files found in");
        File.WriteAllText(_folder["consolidated.00.pth"], "");
        Refused("params.json does not exist");
        File.WriteAllText(_folder["params.json"], TinyCheckpoint.Parameters);
        Refused("consolidated.00.pth is empty");
        File.Delete(_folder["consolidated.00.pth"]);
        Directory.CreateDirectory(_folder["consolidated.00.pth"]);
        Refused("consolidated.00.pth is missing or no plain file");
    }

    [Theory]
    [InlineData(12, 13, "The tokenizer has 13 tokens but params.json has vocab_size 12")]
    [InlineData(-1, 13, "has rows for 12 tokens but the tokenizer has 13")]
    [InlineData(-1, 24, "has rows for 12 of the tokenizer's 24 tokens; download the missing shards")]
    [InlineData(14, null, "has rows for 12 tokens but params.json has vocab_size 14")]
    public void Open_VocabulariesThatDiffer_NamesBoth(int vocabularySize, int? tokenizer, string expected)
    {
        TinyCheckpoint.Write(_folder.Path);
        File.WriteAllText(_folder["params.json"], TinyCheckpoint.Parameters.Replace("\"vocab_size\": 12",
            $"\"vocab_size\": {vocabularySize}", StringComparison.Ordinal));

        Refused(expected, tokenizer);
    }

    [Theory]
    [InlineData(12)]
    [InlineData(null)]
    public void Open_VocabularyLeftOpen_IsTheTokenizersOrThatOfTheRows(int? tokenizer)
    {
        TinyCheckpoint.Write(_folder.Path);
        File.WriteAllText(_folder["params.json"], TinyCheckpoint.Parameters.Replace("\"vocab_size\": 12", "\"vocab_size\": -1",
            StringComparison.Ordinal));

        using var checkpoint = MetaCheckpoint.Open(_folder.Path, tokenizer);

        Assert.Equal(12, checkpoint.Config.VocabularySize);
    }

    [UnixFact]
    public void Open_ShardIsALink_FollowsIt()
    {
        TinyCheckpoint.Write(_folder.Path);
        File.Move(_folder["consolidated.00.pth"], _folder["blob"]);
        File.CreateSymbolicLink(_folder["consolidated.00.pth"], "blob");
        MetaCheckpoint.Open(_folder.Path, 12).Dispose();

        File.Delete(_folder["blob"]);
        Refused("consolidated.00.pth is missing or no plain file");
        File.Delete(_folder["consolidated.00.pth"]);
        File.CreateSymbolicLink(_folder["consolidated.00.pth"], "/dev/zero");
        Refused("consolidated.00.pth is empty");
    }

    private static byte[] BytesAt(nint address, int count)
    {
        var bytes = new byte[count];
        System.Runtime.InteropServices.Marshal.Copy(address, bytes, 0, count);
        return bytes;
    }

    private static ShardTensor Tensor(string name, TensorType type, params ImmutableArray<long> shape)
        => new(name, type, shape, (_, bytes) => bytes.Clear());

    private void WriteShards(int shardCount, EmbeddingLayout layout, Func<int, IEnumerable<ShardTensor>, IEnumerable<ShardTensor>> change)
    {
        File.WriteAllText(_folder["params.json"], TinyCheckpoint.Parameters);
        for (var shard = 0; shard < shardCount; shard++)
        {
            TinyCheckpoint.WriteShard(_folder.Path, shard, change(shard, TinyCheckpoint.Tensors(shard, shardCount, layout)));
        }
    }

    private void RefusedTwoShards(string expected, Func<int, IEnumerable<ShardTensor>, IEnumerable<ShardTensor>> change)
    {
        WriteShards(2, EmbeddingLayout.SplitByDimension, change);
        Refused(expected);
    }

    private void Refused(string expected, int? tokenizerVocabularySize = 12)
    {
        var error = Assert.Throws<CheckpointException>(() => MetaCheckpoint.Open(_folder.Path, tokenizerVocabularySize));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
