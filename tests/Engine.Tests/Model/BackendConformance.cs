using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>
/// What every backend has to do, compared with the managed one that runs each sequence alone, and with the reference's tokens. A backend's own tests are a
/// class that inherits these.
/// </summary>
/// <param name="torch">The backend; <see langword="null"/> for the managed one.</param>
/// <param name="type">How the checkpoints are stored.</param>
/// <param name="tolerance">Largest difference of a logit, of the greatest logit of its row where that is more than 1.</param>
public abstract class BackendConformance(TorchOptions? torch, TensorType type, float tolerance)
{
    private static readonly LlamaConfig Plain = new()
    {
        Dimension = 64,
        LayerCount = 2,
        HeadCount = 8,
        KeyValueHeadCount = 8,
        HiddenDimension = 120,
        VocabularySize = 188,
        NormEpsilon = 1e-5f,
    };

    private static readonly LlamaConfig Grouped = Plain with { HeadCount = 16, KeyValueHeadCount = 4 };

    /// <summary>The shapes by name.</summary>
    internal static readonly Dictionary<string, LlamaConfig> Shapes = new()
    {
        ["plain"] = Plain,
        ["grouped"] = Grouped,
        ["one key-value head"] = Grouped with { KeyValueHeadCount = 1 },
        ["wide heads, halves turn"] = Grouped with { HeadDimension = 12, RotatesHalves = true },
        ["biases"] = Grouped with { HasQueryKeyValueBias = true, RotatesHalves = true },
        ["head norms"] = Grouped with { HasQueryKeyNorm = true, RotatesHalves = true },
        ["window"] = Grouped with { SlidingWindow = 70, LayerCount = 3, FirstSlidingLayer = 1 },
        ["linear rope scaling"] = Grouped with { RopeScaling = RopeScalingKind.Linear, RopeScalingFactor = 4 },
        ["Llama 3 rope scaling"] = Grouped with { RopeTheta = 500000, RopeScaling = RopeScalingKind.Llama3, RopeScalingFactor = 8, RopeOldContextLength = 64 },
    };

    private static readonly int[] Lengths = [3, 64, 65, 130, 170];

    public static TheoryData<string, int> ShapesAndWorlds
    {
        get
        {
            var data = new TheoryData<string, int>();
            foreach (var shape in Shapes.Keys)
            {
                data.Add(shape, 1);
                data.Add(shape, 2);
            }

            data.Add("grouped", 3); // heads are cut within key-value groups
            data.Add("one key-value head", 5);
            data.Add("plain", 16); // ranks without heads
            return data;
        }
    }

    /// <summary>Chunks of all lengths, ragged batches of prompts and single tokens, and a second time in blocks of the cache that others have left.</summary>
    [Theory]
    [MemberData(nameof(ShapesAndWorlds))]
    public void Run_RaggedStepsInReusedBlocks_GivesLogitsOfManagedBackendAlone(string shape, int worldSize) => CompareRagged(shape, worldSize, Options());

    /// <summary>Stages of a pipeline, parts of a step one after the other: hidden states leave the backend and come back.</summary>
    [Theory]
    [InlineData("grouped", 2, 1)]
    [InlineData("window", 3, 1)]
    [InlineData("biases", 2, 2)]
    public void Run_OnStages_GivesLogitsOfManagedBackendAlone(string shape, int stageCount, int stageSize)
        => CompareRagged(shape, stageCount * stageSize, Options() with { Mesh = new ModelMesh { StageCount = stageCount, StageSize = stageSize }, MicroBatchCount = 3 });

    private void CompareRagged(string shape, int worldSize, LlamaModelOptions options)
    {
        using var checkpoint = new RandomCheckpoint(Shapes[shape], type, seed: 31);
        var sequences = Sequences(checkpoint.Config.VocabularySize);
        var expected = RowsAlone(checkpoint, sequences);
        using var world = ModelWorld.Create(checkpoint, worldSize, EmbeddingLayout.Whole, options, shardCount: 1);
        var worst = 0f;
        foreach (var seed in new[] { 1, 2, 3 })
        {
            var random = new Random(seed);
            var slots = Enumerable.Range(0, Lengths.Length).OrderBy(_ => random.Next()).ToArray();
            RunRagged(world.Leader, sequences, slots, random, (sequence, position, result) =>
            {
                var own = expected[sequence][position];
                worst = Math.Max(worst, Difference(own, result.Row));
                CheckSummary(result, checkpoint.Config.VocabularySize);
            });
            foreach (var slot in slots)
            {
                world.Leader.Cache.Release(slot);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{shape} on {worldSize}: {worst:0.0e0}");
        Assert.True(worst <= tolerance, $"Logits differ by {worst:g3} of the greatest, more than {tolerance:g3}.");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void FetchRow_OfCandidates_IsTheWholeRow(int worldSize)
    {
        using var checkpoint = new RandomCheckpoint(Grouped, type, seed: 32);
        using var world = ModelWorld.Create(checkpoint, worldSize, EmbeddingLayout.Whole, Options(), shardCount: 1);
        var command = new StepCommand();
        for (var position = 0; position < 3; position++)
        {
            command.AddToken(position + 5, 0, position);
        }

        command.AddOutput(1, detail: LogitsDetail.FullRow);
        command.AddOutput(2, detail: LogitsDetail.Candidates);
        command.AddOutput(2, detail: LogitsDetail.Best);
        var result = world.Leader.Run(command);
        var rowBefore = result[0].Row.ToArray();
        var candidates = result[1].Candidates.ToArray();
        var best = result[2].BestTokenId;

        Assert.Equal(rowBefore, world.Leader.FetchRow(0).ToArray());
        var row = world.Leader.FetchRow(1).ToArray();
        Assert.Equal(candidates[0].TokenId, best);
        Assert.All(candidates, candidate => Assert.Equal(row[candidate.TokenId], candidate.Logit));
    }

    /// <summary>NaN in a sequence's cache must not reach the sequences that take its blocks over.</summary>
    [Fact]
    public void Run_AfterNotFiniteStep_OthersAreWell()
    {
        using var checkpoint = new RandomCheckpoint(Grouped, type, seed: 33);
        checkpoint["tok_embeddings.weight"].AsSpan(7 * Grouped.Dimension, Grouped.Dimension).Fill(float.NaN);
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, Options() with { CacheTokenCount = 192 });
        var command = new StepCommand();
        for (var position = 0; position < 192; position++)
        {
            command.AddToken(7, 0, position);
        }

        command.AddOutput(191);
        var error = Assert.Throws<NonFiniteLogitsException>(() => world.Leader.Run(command));
        Assert.Contains("token embedding", error.Message, StringComparison.Ordinal);
        world.Leader.Cache.Release(0);

        // Two sequences of different lengths, a token each and step, which are computed together.
        for (var position = 0; position < 70; position++)
        {
            command.Clear();
            command.AddOutput(0);
            command.AddToken(10 + position, 0, position);
            if (position >= 50)
            {
                command.AddOutput(1);
                command.AddToken(11 + position, 1, position - 50);
            }

            Assert.True(float.IsFinite(world.Leader.Run(command)[0].LogSumExp));
        }
    }

    [SharedDataTheory("stories260k")]
    [InlineData(1)]
    [InlineData(2)]
    public void Run_Stories_GivesTokensOfReference(int worldSize)
    {
        var golden = Golden.Read(Path.Combine(Repository.SharedData, "stories260k", "golden", GoldenName));
        using var world = ModelWorld.Load(
            Path.Combine(Repository.SharedData, "stories260k", Shards),
            ModelWorld.Options(golden.MaxSeqLen, golden.MaxBatchSize) with { Torch = torch },
            worldSize: worldSize);
        var (equal, count) = (0, 0);
        foreach (var expected in golden.Cases)
        {
            var rows = new GreedyRows(world.Leader).Run([.. expected.Items.Select(item => item.PromptTokens)], expected.MaxGenLen, golden.MaxSeqLen);
            for (var slot = 0; slot < golden.MaxBatchSize; slot++)
            {
                world.Leader.Cache.Release(slot);
            }

            for (var row = 0; row < rows.Length; row++)
            {
                var tokens = rows[row].Tokens.Skip(expected.Echo ? 0 : expected.Items[row].PromptTokens.Length).Take(expected.Items[row].Tokens.Length);
                equal += tokens.SequenceEqual(expected.Items[row].Tokens) ? 1 : 0;
                count++;
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{equal} of {count} texts have the reference's tokens");
        Assert.True(equal >= Math.Ceiling(count * GoldenShare), $"{equal} of {count} texts have the reference's tokens.");
    }

    /// <summary>Rows of 4 sequences over 1 000 steps leave as much behind as over 100.</summary>
    [Fact]
    public void Run_ThousandSteps_KeepsNothing()
    {
        using var checkpoint = new RandomCheckpoint(Grouped, type, seed: 34);
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options(maxSequenceLength: 1100) with { Torch = torch });
        var command = new StepCommand();
        long after100 = 0;
        for (var position = 0; position < 1000; position++)
        {
            command.Clear();
            for (var slot = 0; slot < 4; slot++)
            {
                command.AddToken((position + slot) % 188, slot, position);
                command.AddOutput(slot, temperature: 0.5f, detail: slot == 0 ? LogitsDetail.Best : LogitsDetail.Candidates);
            }

            world.Leader.Run(command);
            after100 = position == 100 ? LiveObjectCount() : after100;
        }

        Assert.Equal(after100, LiveObjectCount());
    }

    /// <summary>The checkpoint's folder in the stories' data, and the reference's outputs for it.</summary>
    protected virtual string Shards => type switch { TensorType.BFloat16 => "mp2-bf16", TensorType.Float16 => "mp2-fp16", _ => "mp2" };

    /// <inheritdoc cref="Shards"/>
    protected virtual string GoldenName => type switch
    {
        TensorType.BFloat16 => "bfloat16-stored.json",
        TensorType.Float16 => "float16-stored.json",
        _ => "float32.json",
    };

    /// <summary>How many of the texts have to be the reference's to the last token.</summary>
    protected virtual double GoldenShare => 1;

    /// <summary>What a step must not leave behind: native objects.</summary>
    protected virtual long LiveObjectCount() => 0;

    private static int[][] Sequences(int vocabularySize)
    {
        var random = new Random(5);
        return [.. Lengths.Select(length => Enumerable.Range(0, length).Select(_ => random.Next(vocabularySize)).ToArray())];
    }

    private LlamaModelOptions Options()
        => ModelWorld.Options(maxSequenceLength: 192, maxBatchSize: Lengths.Length) with { CacheTokenCount = 704, Torch = torch };

    // [sequence][position], by the managed backend, a sequence and eight tokens at a time.
    private static float[][][] RowsAlone(RandomCheckpoint checkpoint, int[][] sequences)
    {
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options(maxBatchSize: 8));
        return
        [
            .. sequences.Select(sequence =>
            {
                var rows = new List<float[]>();
                var command = new StepCommand();
                while (rows.Count < sequence.Length)
                {
                    command.Clear();
                    for (var position = rows.Count; position < Math.Min(rows.Count + 8, sequence.Length); position++)
                    {
                        command.AddOutput(command.Tokens.Length, detail: LogitsDetail.FullRow);
                        command.AddToken(sequence[position], 0, position);
                    }

                    var result = world.Leader.Run(command);
                    rows.AddRange(Enumerable.Range(0, result.Count).Select(output => result[output].Row.ToArray()));
                }

                world.Leader.Cache.Release(0);
                return rows.ToArray();
            }),
        ];
    }

    // Each step takes from every sequence none, one, some or many of the tokens that are left, in the order of a seed.
    private static void RunRagged(LeaderLoop leader, int[][] sequences, int[] slots, Random random, RowSeen see)
    {
        var done = new int[sequences.Length];
        var command = new StepCommand();
        while (done.Zip(sequences).Any(pair => pair.First < pair.Second.Length))
        {
            command.Clear();
            var outputs = new List<(int Sequence, int Position)>();
            foreach (var sequence in Enumerable.Range(0, sequences.Length).OrderBy(_ => random.Next()))
            {
                var count = Math.Min(random.Next(6) switch { 0 => 0, 1 => 5, 2 => 70, _ => 1 }, sequences[sequence].Length - done[sequence]);
                for (var i = 0; i < count; i++)
                {
                    command.AddToken(sequences[sequence][done[sequence]], slots[sequence], done[sequence]);
                    done[sequence]++;
                }

                if (count > 0)
                {
                    command.AddOutput(command.Tokens.Length - 1, targetTokenId: sequence * 7, temperature: sequence % 2 == 0 ? 0.7f : 0, LogitsDetail.FullRow);
                    outputs.Add((sequence, done[sequence] - 1));
                }
            }

            if (command.Tokens.Length > 0)
            {
                var result = leader.Run(command);
                for (var output = 0; output < outputs.Count; output++)
                {
                    see(outputs[output].Sequence, outputs[output].Position, result[output]);
                }
            }
        }
    }

    private static float Difference(float[] expected, ReadOnlySpan<float> actual)
    {
        var (greatest, difference) = (1f, 0f);
        for (var id = 0; id < expected.Length; id++)
        {
            greatest = Math.Max(greatest, Math.Abs(expected[id]));
            difference = float.IsNaN(actual[id]) ? float.NaN : Math.Max(difference, Math.Abs(expected[id] - actual[id]));
        }

        return difference / greatest;
    }

    // What the summary says must follow from the row.
    private void CheckSummary(LogitsResult result, int vocabularySize)
    {
        var row = result.Row.ToArray();
        Assert.Equal(vocabularySize, row.Length);
        Assert.Equal(row.Max(), result.BestLogit);
        Assert.Equal(Array.IndexOf(row, row.Max()), result.BestTokenId);
        var order = Enumerable.Range(0, row.Length).OrderByDescending(id => row[id]).Take(64).ToArray();
        Assert.Equal(order.Length, result.Candidates.Length);
        for (var i = 0; i < result.Candidates.Length; i++)
        {
            Assert.Equal(row[result.Candidates[i].TokenId], result.Candidates[i].Logit);
            Assert.Equal(row[order[i]], result.Candidates[i].Logit, tolerance * Math.Max(1, Math.Abs(row[order[i]])));
        }

        var sum = Math.Log(row.Sum(logit => Math.Exp(logit)));
        Assert.Equal(sum, result.LogSumExp, 1e-5);
        if (result.ScaledSum != 0)
        {
            Assert.Equal(Math.Log(row.Sum(logit => Math.Exp(logit / 0.7))), result.ScaledMaximum + Math.Log(result.ScaledSum), 1e-5);
        }
    }

    private delegate void RowSeen(int sequence, int position, LogitsResult result);
}
