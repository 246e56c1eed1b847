using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Real checkpoints: the demo, and stories260k in its five forms.</summary>
public sealed class MetaCheckpointTests
{
    [Theory]
    [InlineData(1024)]
    [InlineData(null)]
    public void Open_DemoCheckpoint_GivesItsConfigAndTensors(int? tokenizerVocabularySize)
    {
        using var checkpoint = MetaCheckpoint.Open(Repository.DemoCheckpoint, tokenizerVocabularySize);

        Assert.Equal(
            new LlamaConfig
            {
                Dimension = 128,
                LayerCount = 6,
                HeadCount = 8,
                KeyValueHeadCount = 4,
                HiddenDimension = 352,
                VocabularySize = 1024,
                NormEpsilon = 1e-5f,
            },
            checkpoint.Config);
        Assert.Equal(2, checkpoint.ShardCount);
        Assert.Equal(EmbeddingLayout.SplitByDimension, checkpoint.EmbeddingLayout);
        using var shard = checkpoint.MapShard(1);
        var wq = shard["layers.3.attention.wq.weight"];
        Assert.Equal([64L, 128L], wq.Shape.ToArray());
        Assert.Equal(TensorType.BFloat16, wq.Type);
        shard.VerifyChecksums(threadCount: 2, progress: null, CancellationToken.None);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void VerifyChecksums_InParts_ReportsEachPartsBytesAndTogetherAll(int partCount)
    {
        using var checkpoint = MetaCheckpoint.Open(Repository.DemoCheckpoint, 1024);
        long all = 0;
        for (var part = 0; part < partCount; part++)
        {
            var reports = new Reports();
            checkpoint.VerifyChecksums(part, partCount, threadCount: 2, reports, CancellationToken.None);
            var total = Assert.Single(reports.Values.Select(value => value.Total).Distinct());
            Assert.Equal(total, reports.Values.Max(value => value.Done));
            all += total;
        }

        Assert.Equal(checkpoint.ByteCount, all);
    }

    [SharedDataTheory("stories260k")]
    [InlineData("mp1", 1, TensorType.Float32, EmbeddingLayout.Whole)]
    [InlineData("mp2", 2, TensorType.Float32, EmbeddingLayout.SplitByDimension)]
    [InlineData("mp4", 4, TensorType.Float32, EmbeddingLayout.SplitByDimension)]
    [InlineData("mp2-bf16", 2, TensorType.BFloat16, EmbeddingLayout.SplitByDimension)]
    [InlineData("mp2-fp16", 2, TensorType.Float16, EmbeddingLayout.SplitByDimension)]
    public void Open_Stories_GivesShardsOfOneModel(string folder, int shardCount, TensorType type, EmbeddingLayout layout)
    {
        using var checkpoint = MetaCheckpoint.Open(Path.Combine(Repository.SharedData, "stories260k", folder), 512);

        Assert.Equal(shardCount, checkpoint.ShardCount);
        Assert.Equal(layout, checkpoint.EmbeddingLayout);
        Assert.Equal(172, checkpoint.Config.HiddenDimension);
        for (var shard = 0; shard < shardCount; shard++)
        {
            using var mapped = checkpoint.MapShard(shard);
            mapped.VerifyChecksums(threadCount: 1, progress: null, CancellationToken.None);
            Assert.Equal(type, mapped["layers.4.feed_forward.w2.weight"].Type);
            Assert.Equal([64L, 172 / shardCount], mapped["layers.4.feed_forward.w2.weight"].Shape.ToArray());
            Assert.False(mapped.Contains("layers.5.feed_forward.w2.weight"));
        }
    }

    private sealed class Reports : IProgress<(long Done, long Total)>
    {
        public System.Collections.Concurrent.ConcurrentBag<(long Done, long Total)> Values { get; } = [];

        public void Report((long Done, long Total) value) => Values.Add(value);
    }
}
