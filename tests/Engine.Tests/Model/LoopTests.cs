using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>What the loops refuse, survive and report.</summary>
public sealed class LoopTests
{
    private static readonly LlamaConfig Small = new()
    {
        Dimension = 32,
        LayerCount = 4,
        HeadCount = 4,
        KeyValueHeadCount = 4,
        HiddenDimension = 48,
        VocabularySize = 80,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(80, 0, 0)]
    [InlineData(-1, 0, 0)]
    [InlineData(0, 2, 0)]
    [InlineData(0, -1, 0)]
    [InlineData(0, 0, 30)]
    [InlineData(0, 0, -1)]
    [InlineData(0, 0, 1)]
    public void Run_TokenOutsideOfTheLimits_RefusesBeforeAnyRankHears(int tokenId, int slot, int position)
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(
            checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options(maxSequenceLength: 30, maxBatchSize: 2));
        var command = new StepCommand();
        command.AddToken(tokenId, slot, position);

        Assert.Throws<ArgumentException>(() => world.Leader.Run(command));

        Assert.Empty(world.Groups[0].Log);
        Assert.Equal(1, world.Leader.Run(StepTests.Step(3)).Count);
    }

    [Fact]
    public void Run_CommandThatIsNone_Refuses()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(
            checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options(maxSequenceLength: 30, maxBatchSize: 2, maxTokensPerStep: 4));

        Assert.Throws<ArgumentException>(() => world.Leader.Run(new StepCommand()));
        Assert.Throws<ArgumentException>(() => world.Leader.Run(StepTests.Step(5)));
        Check(command => command.AddOutput(4));
        Check(command => command.AddOutput(-1));
        Check(command => command.AddOutput(0, targetTokenId: 80));
        Check(command => command.AddOutput(0, targetTokenId: -2));
        Check(command => command.AddOutput(0, temperature: -1));
        Check(command => command.AddOutput(0, temperature: 1e-7f));
        Check(command => command.AddOutput(0, temperature: float.NaN));
        Check(command => command.AddOutput(0, temperature: float.PositiveInfinity));
        Check(command => command.AddOutput(0, detail: (LogitsDetail)4));
        Check(command =>
        {
            for (var i = 0; i < 3; i++)
            {
                command.AddOutput(i, detail: LogitsDetail.Candidates);
            }
        });
        Check(command =>
        {
            for (var i = 0; i < 4; i++)
            {
                command.AddOutput(i);
            }
        });
        Assert.Equal(1, world.Leader.Run(StepTests.Step(4)).Count);

        void Check(Action<StepCommand> add)
        {
            var command = StepTests.Step(4);
            add(command);
            Assert.Throws<ArgumentException>(() => world.Leader.Run(command));
        }
    }

    [Fact]
    public void Run_PositionsOutOfOrder_RefusesAndForgetsTheStep()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options(maxSequenceLength: 30, maxBatchSize: 2));
        world.Leader.Run(StepTests.Step(6));

        Check(7); // leaves position 6 out
        Check(6, 6); // twice
        Check(6, 5); // backwards
        Check(3, 4, 6); // over a gap, behind a position that is written again
        Check(6, 8);
        world.Leader.Run(Positions(6, 7)); // goes on
        world.Leader.Run(Positions(2, 3)); // takes back what came after 1
        Check(5);
        world.Leader.Run(Positions(4));

        void Check(params int[] positions) => Assert.Throws<ArgumentException>(() => world.Leader.Run(Positions(positions)));

        static StepCommand Positions(params int[] positions)
        {
            var command = new StepCommand();
            foreach (var position in positions)
            {
                command.AddToken(1, 0, position);
            }

            return command;
        }
    }

    [Theory]
    [InlineData("layers.2.attention.wo.weight", 1, 2)]
    [InlineData("layers.0.feed_forward.w2.weight", 1, 0)]
    [InlineData("layers.3.feed_forward.w1.weight", 0, 3)]
    [InlineData("layers.1.attention.wk.weight", 0, 1)]
    public void Run_NotFiniteWeight_NamesRankAndLayerAndGoesOn(string tensor, int rank, int layer)
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        var weights = checkpoint[tensor];

        // Split by rows or by columns, the first element belongs to rank 0 and the last one to the last rank.
        weights[rank == 0 ? 0 : ^1] = float.NaN;
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());

        for (var step = 0; step < 3; step++)
        {
            var exception = Assert.Throws<NonFiniteLogitsException>(() => world.Leader.Run(StepTests.Step(3)));
            Assert.Equal(rank, exception.Rank);
            Assert.Equal(layer, exception.Layer);
            Assert.Contains($"Rank {rank}", exception.Message, StringComparison.Ordinal);
            Assert.Contains($"layer {layer}", exception.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Run_NotFiniteEmbedding_FailsOnlyStepsThatUseIt()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        checkpoint["tok_embeddings.weight"][(7 * Small.Dimension) + 20] = float.PositiveInfinity;
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());
        var expected = world.Leader.Run(StepTests.Step(5))[0].LogSumExp;

        var exception = Assert.Throws<NonFiniteLogitsException>(() => world.Leader.Run(StepTests.Step(8)));

        Assert.Equal(0, exception.Rank);
        Assert.Null(exception.Layer);
        Assert.Contains("embedding", exception.Message, StringComparison.Ordinal);
        Assert.Equal(expected, world.Leader.Run(StepTests.Step(5))[0].LogSumExp);
    }

    [Fact]
    public void Run_NotFiniteOutput_NamesTheRankOfTheSlice()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.BFloat16, seed: 1);
        checkpoint["output.weight"][^1] = float.NegativeInfinity;
        using var world = ModelWorld.Create(checkpoint, 4, EmbeddingLayout.SplitByVocabulary, ModelWorld.Options());

        var exception = Assert.Throws<NonFiniteLogitsException>(() => world.Leader.Run(StepTests.Step(3)));

        Assert.Equal(3, exception.Rank);
        Assert.Contains("logits", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Stop_EndsEveryFollower()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 4, EmbeddingLayout.SplitByDimension, ModelWorld.Options());
        world.Leader.KeepAlive();
        world.Leader.Run(StepTests.Step(2));

        world.Stop();

        Assert.All(world.Followers, follower => Assert.True(follower.IsCompletedSuccessfully));
    }

    [Fact]
    public void CollectStatistics_AfterSteps_HasFiguresOfEveryRank()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options(threadCount: 3));
        world.Leader.Run(StepTests.Step(2));
        world.Leader.Run(StepTests.Step(4));

        var statistics = world.Leader.CollectStatistics();

        Assert.Equal(2, statistics.Length);
        Assert.All(statistics, rank =>
        {
            Assert.Equal(2, rank.StepCount);
            Assert.Equal(3, rank.ThreadCount);
            Assert.InRange(rank.PeakResidentByteCount, 1 << 20, 1L << 40);
            Assert.InRange(rank.CollectiveMicroseconds, 1, rank.StepMicroseconds);
            Assert.Equal(world.Model.OwnedByteCount, rank.OwnedByteCount);
        });
    }

    [Fact]
    public void Run_LeaderWithLargerLimits_IsRefusedByTheFollower()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var ranks = new ThreadWorld(2);
        var (leaderGroup, followerGroup) = (ranks.Join(0), ranks.Join(1));
        using var large = Load(leaderGroup, 64);
        using var small = Load(followerGroup, 8);
        var follower = Task.Factory.StartNew(
            () => new FollowerLoop(small, followerGroup).Run(), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        Assert.ThrowsAny<CollectiveException>(() => new LeaderLoop(large, leaderGroup).Run(StepTests.Step(12)));

        var exception = Assert.Throws<AggregateException>(() => follower.Wait(TimeSpan.FromSeconds(30))).InnerException;
        Assert.Contains("8 positions", Assert.IsType<PeerProtocolException>(exception).Message, StringComparison.Ordinal);

        LlamaModel Load(ProcessGroup group, int maxSequenceLength)
            => LlamaModel.Create(
                Small,
                checkpoint.Stored(2, EmbeddingLayout.SplitByDimension),
                group,
                ModelWorld.Options(maxSequenceLength),
                Distributed.Engine.Kernels.KernelSet.Best);
    }
}
