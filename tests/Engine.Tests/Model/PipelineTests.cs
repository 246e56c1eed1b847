using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Model;

/// <summary>Stages and micro-batches: the same bits as one rank, the fewest messages, and reports that name the rank at fault.</summary>
public sealed class PipelineTests
{
    private static readonly LlamaConfig Odd = new()
    {
        Dimension = 96,
        LayerCount = 5,
        HeadCount = 16,
        KeyValueHeadCount = 8,
        HiddenDimension = 344,
        VocabularySize = 264,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(TensorType.Float32, WeightFormat.Stored)]
    [InlineData(TensorType.BFloat16, WeightFormat.Int8)]
    public void Run_AnyMesh_GivesTheSameBits(TensorType type, WeightFormat format)
    {
        using var checkpoint = new RandomCheckpoint(Odd, type, seed: 1);
        var script = StepScript.Random(2, Odd.VocabularySize, 130, 70, 3);
        var expected = Run("pp=1,tp=1", chunk: 1, batch: [0]);
        Assert.NotEmpty(expected);

        Check("pp=2,tp=1", chunk: 130, batch: [0]);
        Check("pp=2,tp=1", microBatches: 1, chunk: 33, batch: [1, 0]);
        Check("pp=2,tp=2", chunk: 130, batch: [0]);
        Check("pp=2,tp=2", microBatches: 3, chunk: 100, batch: [2, 0, 1]);
        Check("tp=2,pp=2", chunk: 64, batch: [1, 0]);
        Check("pp=4,tp=1", microBatches: 5, chunk: 130, batch: [0]);
        Check("pp=4,tp=1", split: [2, 1, 1, 1], chunk: 47, batch: [0, 1]);
        Check("pp=3,tp=1", split: [1, 1, 3], chunk: 90, batch: [0, 2]); // any number of stages keeps the bits
        Check("pp=2,tp=4", microBatches: 100, split: [4, 1], chunk: 130, batch: [0]);
        Check("pp=1,tp=4", chunk: 130, batch: [0]);

        void Check(string mesh, int? microBatches = null, int[]? split = null, int chunk = 100, params int[] batch)
            => Assert.Equal(expected, Run(mesh, microBatches, split, chunk, batch));

        List<int> Run(string text, int? microBatches = null, int[]? split = null, int chunk = 100, params int[] batch)
        {
            var mesh = Mesh(text);
            var options = ModelWorld.Options() with
            {
                WeightFormat = format,
                Mesh = mesh,
                MicroBatchCount = microBatches,
                LayersPerStage = split is null ? default : [.. split],
            };
            using var world = ModelWorld.Create(checkpoint, mesh.WorldSize, EmbeddingLayout.SplitByDimension, options, shardCount: 2);
            Assert.True(world.Model.IsCanonical);
            return script.Run(world.Leader, 0, chunk, batch);
        }
    }

    [SharedDataTheory("stories260k")]
    [InlineData("pp=2,tp=1")]
    [InlineData("pp=2,tp=2")]
    [InlineData("pp=4,tp=1")]
    [InlineData("pp=1,tp=4")]
    public void Run_Stories_GivesTheSameBitsAsOneRank(string mesh)
    {
        var script = StepScript.Random(7, 512, 150, 40);
        var folder = Path.Combine(Repository.SharedData, "stories260k", "mp2");
        List<int> Run(ModelMesh mesh)
        {
            using var world = ModelWorld.Load(folder, ModelWorld.Options() with { Mesh = mesh }, worldSize: mesh.WorldSize);
            return script.Run(world.Leader, 0, 150, 1, 0);
        }

        Assert.Equal(Run(ModelMesh.OneStage(1)), Run(Mesh(mesh)));
    }

    [Fact]
    public void Run_Stages_SendEachPartOnceAndSumWithinTheirStage()
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        var options = ModelWorld.Options() with { Mesh = Mesh("pp=2,tp=2"), MicroBatchCount = 3, LayersPerStage = [3, 2] };
        using var world = ModelWorld.Create(checkpoint, 4, EmbeddingLayout.SplitByDimension, options);

        world.Leader.Run(StepTests.Step(35));
        world.Stop();

        // 35 tokens in parts of 16, 16 and 3; the last one says too whether all was finite.
        string[] first = ["Broadcast", .. Part(3, "Send"), .. Part(3, "Send"), .. Part(3, "Send")];
        string[] last = ["Broadcast", .. Part(2, "Receive"), .. Part(2, "Receive"), .. Part(2, "Receive"), "Gather", "Broadcast"];
        Assert.Equal([.. first, "Gather", "Broadcast"], Operations(0));
        Assert.Equal([.. first, "Broadcast"], Operations(1));
        Assert.Equal(last, Operations(2));
        Assert.Equal(last, Operations(3));
        var row = Odd.Dimension * sizeof(float);
        Assert.Equal([16 * row, 16 * row, (3 * row) + 8], world.Groups[1].Log.Where(entry => entry.Operation == "Send").Select(entry => entry.ByteCount));

        IEnumerable<string> Operations(int rank) => world.Groups[rank].Log.Select(entry => entry.Operation);

        static string[] Part(int layers, string message)
        {
            var sums = Enumerable.Repeat("AllReduce", 2 * layers);
            return message == "Send" ? [.. sums, message] : [message, .. sums];
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(16, 1)]
    [InlineData(31, 2)]
    [InlineData(33, 3)]
    [InlineData(512, 16)]
    public void MicroBatches_Default_AreOfSixteenTokensAtLeast(int tokenCount, int expected)
    {
        var parts = new MicroBatches(tokenCount, MicroBatches.DefaultCount(2));

        Assert.Equal(expected, parts.Count);
        var next = 0;
        for (var part = 0; part < parts.Count; part++)
        {
            Assert.Equal(next, parts[part].Start);
            Assert.InRange(parts[part].Count, 1, tokenCount);
            next = parts[part].End;
        }

        Assert.Equal(tokenCount, next);
        Assert.Equal(1, new MicroBatches(tokenCount, MicroBatches.DefaultCount(1)).Count);
    }

    /// <summary>
    /// Stage 1 does not go on with a part before stage 0 has begun to work on the next one: a pipeline that does not overlap would stand still.
    /// </summary>
    [Fact]
    public void Run_Parts_AreWorkedOnByBothStagesAtOnce()
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        var options = ModelWorld.Options() with { Mesh = Mesh("pp=2,tp=1"), MicroBatchCount = 4, LayersPerStage = [3, 2] };
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, options);
        var expected = world.Leader.Run(StepTests.Step(64))[0].LogSumExp;
        using var begun = new SemaphoreSlim(0);
        var (inTime, parts) = (true, 0);
        world.Models[0].Observer = (layer, isFeedForward, _) =>
        {
            if (layer == 0 && !isFeedForward)
            {
                begun.Release();
            }
        };
        world.Models[1].Observer = (layer, isFeedForward, _) =>
        {
            if (layer == 3 && !isFeedForward)
            {
                // Its own part, and the next one where there is one.
                for (var part = parts == 0 ? 0 : 1; part < (parts == 3 ? 1 : 2); part++)
                {
                    inTime &= begun.Wait(TimeSpan.FromSeconds(30));
                }

                parts++;
            }
        };

        Assert.Equal(expected, world.Leader.Run(StepTests.Step(64, slot: 1))[0].LogSumExp);

        Assert.Equal((true, 4), (inTime, parts));
    }

    [Theory]
    [InlineData("layers.0.attention.wo.weight", 1, 0)]
    [InlineData("layers.1.feed_forward.w2.weight", 0, 1)]
    [InlineData("layers.4.attention.wo.weight", 3, 4)]
    [InlineData("layers.3.feed_forward.w2.weight", 2, 3)]
    [InlineData("output.weight", 3, null)]
    public void Run_NotFiniteWeight_NamesRankAndLayerOfAnyStageAndGoesOn(string tensor, int rank, int? layer)
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        checkpoint[tensor][rank % 2 == 0 ? 0 : ^1] = float.NaN;
        var options = ModelWorld.Options() with { Mesh = Mesh("pp=2,tp=2"), LayersPerStage = [3, 2] };
        using var world = ModelWorld.Create(checkpoint, 4, EmbeddingLayout.SplitByDimension, options);

        for (var step = 0; step < 2; step++)
        {
            var exception = Assert.Throws<NonFiniteLogitsException>(() => world.Leader.Run(StepTests.Step(40)));
            Assert.Equal((rank, layer), (exception.Rank, exception.Layer));
        }
    }

    [Fact]
    public void FetchRow_AndStatistics_ComeFromTheRanksThatHaveThem()
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(
            checkpoint, 4, EmbeddingLayout.SplitByDimension, ModelWorld.Options() with { Mesh = Mesh("pp=2,tp=2"), LayersPerStage = [2, 3] });
        var command = StepTests.Step(4);
        command.AddOutput(1, detail: LogitsDetail.FullRow);
        command.AddOutput(1, detail: LogitsDetail.Candidates);
        var expected = world.Leader.Run(command)[1].Row.ToArray();

        Assert.Equal(expected, world.Leader.FetchRow(2).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Leader.FetchRow(0).Length);

        var statistics = world.Leader.CollectStatistics();
        Assert.Equal([1L, 1, 1, 1], statistics.Select(rank => rank.StepCount));

        // Two and three of five layers; the output layer is the last stage's.
        var bytes = ModelBytes.Of(Odd, TensorType.Float32);
        Assert.Equal(
            [bytes.Layer, bytes.Layer, ((3 * bytes.Layer) + bytes.Output) / 2, ((3 * bytes.Layer) + bytes.Output) / 2],
            statistics.Select(rank => rank.MappedByteCount));
        Assert.True(statistics[2].OwnedByteCount > statistics[0].OwnedByteCount, "The cache is not that of the stage's layers.");
    }

    [Fact]
    public void Load_TensorsOfOtherStages_AreNotAskedFor()
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        var tensors = checkpoint.Stored(1, EmbeddingLayout.Whole);
        using var ranks = new ThreadWorld(3);
        foreach (var (rank, layers) in ((int, int[])[])[(0, [0, 1]), (1, [2]), (2, [3, 4])])
        {
            var asked = new HashSet<string>();
            var options = ModelWorld.Options() with { Mesh = ModelMesh.OneRankAStage(3), LayersPerStage = [2, 1, 2] };
            using var model = LlamaModel.Create(Odd, name => tensors(Recorded(asked, name)), ranks.Join(rank), options, KernelSet.Best);

            Assert.Equal(layers, asked.Where(name => name.StartsWith("layers.", StringComparison.Ordinal)).Select(name => int.Parse(name.Split('.')[1])).Distinct().Order());
            Assert.Equal(rank == 0, asked.Contains("tok_embeddings.weight"));
            Assert.Equal(rank == 2, asked.Contains("output.weight"));
            Assert.Equal((layers[0], layers.Length), (model.Layers.Start, model.Layers.Count));
        }

        static string Recorded(HashSet<string> asked, string name)
        {
            asked.Add(name);
            return name;
        }
    }

    [Theory]
    [InlineData("pp=6,tp=1", null, "5 layers cannot be divided among 6 pipeline stages")]
    [InlineData("pp=2,tp=1", "2,2", "has 4 layers, and the model has 5")]
    [InlineData("pp=2,tp=1", "5", "names 1 stages, and there are 2")]
    [InlineData("pp=2,tp=1", "5,0", "a stage without a layer")]
    public void Load_SplitThatDoesNotFit_SaysSo(string text, string? split, string clause)
    {
        using var checkpoint = new RandomCheckpoint(Odd, TensorType.Float32, seed: 1);
        var mesh = Mesh(text);
        using var ranks = new ThreadWorld(mesh.WorldSize);
        var options = ModelWorld.Options() with
        {
            Mesh = mesh,
            LayersPerStage = split is null ? default : [.. split.Split(',').Select(int.Parse)],
        };

        var exception = Assert.Throws<CheckpointException>(() => LlamaModel.Create(
            Odd, checkpoint.Stored(1, EmbeddingLayout.Whole), ranks.Join(0), options, KernelSet.Best));

        Assert.Contains(clause, exception.Message, StringComparison.Ordinal);
    }

    internal static ModelMesh Mesh(string text)
    {
        var worldSize = text.Split(',').Aggregate(1, (product, part) => product * int.Parse(part.Split('=')[1]));
        return ModelMesh.Parse(text, worldSize).Mesh ?? throw new ArgumentException(text, nameof(text));
    }
}
