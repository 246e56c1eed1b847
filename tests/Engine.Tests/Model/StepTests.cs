using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

public sealed class StepTests
{
    private static readonly LlamaConfig Small = new()
    {
        Dimension = 64,
        LayerCount = 3,
        HeadCount = 4,
        KeyValueHeadCount = 2,
        HiddenDimension = 96,
        VocabularySize = 160,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(EmbeddingLayout.SplitByDimension)]
    [InlineData(EmbeddingLayout.SplitByVocabulary)]
    public void Run_SmallStep_UsesTheFewestCollectives(EmbeddingLayout layout)
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 2, layout, ModelWorld.Options());

        world.Leader.Run(Step(5));

        string[] expected = ["Broadcast", .. Enumerable.Repeat("AllReduce", 2 * Small.LayerCount), "Gather"];
        Assert.Equal(expected, world.Groups[0].Log.Select(entry => entry.Operation));
        Assert.Equal(CommandMessage.ByteCount, world.Groups[0].Log[0].ByteCount);
        Assert.Equal(5 * Small.Dimension * sizeof(float), world.Groups[0].Log[1].ByteCount);

        // Bad part, 4 of the 8 groups, best token and logit, target's logit: no row.
        Assert.Equal(8 + (4 * 12) + 12, world.Groups[0].Log[^1].ByteCount);
    }

    [Fact]
    public void Run_LargeStep_SendsItsTokensAndBlocksInASecondMessage()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());

        world.Leader.Run(Step(100));

        Assert.Equal(["Broadcast", "Broadcast"], world.Groups[0].Log.Take(2).Select(entry => entry.Operation));
        Assert.Equal((100 * 12) + 16 + (2 * 12), world.Groups[0].Log[1].ByteCount);
        Assert.Equal(2 + (2 * Small.LayerCount) + 1, world.Groups[0].Log.Count);
    }

    [Fact]
    public void FetchRow_AfterCandidates_GivesTheRowInOneMoreGather()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());
        var command = Step(4);
        command.AddOutput(1, detail: LogitsDetail.FullRow);
        command.AddOutput(1, detail: LogitsDetail.Candidates);
        var result = world.Leader.Run(command);
        var before = world.Groups[0].Log.Count;
        var expected = result[1].Row.ToArray();
        var candidates = result[2].Candidates.ToArray();

        var row = world.Leader.FetchRow(2).ToArray();

        Assert.Equal(["Broadcast", "Gather"], world.Groups[0].Log.Skip(before).Select(entry => entry.Operation));
        Assert.Equal(expected, row);
        var sorted = row.Select((logit, id) => new LogitCandidate(id, logit)).OrderByDescending(entry => entry.Logit).ThenBy(entry => entry.TokenId);
        Assert.Equal(sorted.Take(64), candidates);
    }

    [Fact]
    public void FetchRow_OfOutputThatWasNotKept_Refuses()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options());
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Leader.FetchRow(0).Length);
        world.Leader.Run(Step(1));

        Assert.Throws<ArgumentOutOfRangeException>(() => world.Leader.FetchRow(0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Leader.FetchRow(-1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => world.Leader.FetchRow(1).Length);
    }

    /// <summary>More rows than the buffer of logits holds: they pass through it in turns, those that are kept stay.</summary>
    [Fact]
    public void Run_OutputForEveryTokenOfALongPrompt_SaysTheSameAsOneByOne()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.BFloat16, seed: 2);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByVocabulary, ModelWorld.Options());
        var tokens = Enumerable.Range(0, 110).Select(i => i * 7 % Small.VocabularySize).ToArray();
        var command = new StepCommand();
        var expected = new List<(int, float, float, float)>();
        for (var position = 0; position < tokens.Length; position++)
        {
            command.Clear();
            command.AddToken(tokens[position], 0, position);
            command.AddOutput(0, targetTokenId: position, temperature: 0.5f);
            var single = world.Leader.Run(command)[0];
            expected.Add((single.BestTokenId, single.LogSumExp, single.TargetLogit, single.ScaledSum));
        }

        command.Clear();
        for (var position = 0; position < tokens.Length; position++)
        {
            command.AddToken(tokens[position], 1, position);
            command.AddOutput(position, targetTokenId: position, temperature: 0.5f, position is 3 or 80 ? LogitsDetail.Candidates : LogitsDetail.Best);
        }

        var result = world.Leader.Run(command);
        for (var position = 0; position < tokens.Length; position++)
        {
            var one = result[position];
            Assert.Equal(expected[position], (one.BestTokenId, one.LogSumExp, one.TargetLogit, one.ScaledSum));
        }

        foreach (var kept in (int[])[3, 80])
        {
            var row = world.Leader.FetchRow(kept).ToArray();
            Assert.Equal(expected[kept].Item1, Array.IndexOf(row, row.Max()));
            Assert.Equal(expected[kept].Item3, row[kept]);
        }
    }

    [Fact]
    public void Run_WithoutOutputs_FillsTheCache()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        using var world = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options());
        var expected = world.Leader.Run(Step(20))[0].LogSumExp;
        var command = new StepCommand();
        for (var position = 0; position < 19; position++)
        {
            command.AddToken(position, 1, position);
        }

        Assert.Equal(0, world.Leader.Run(command).Count);

        command.Clear();
        command.AddToken(19, 1, 19);
        command.AddOutput(0);
        Assert.Equal(expected, world.Leader.Run(command)[0].LogSumExp);
    }

    [Fact]
    public void Result_Values_AreThoseOfTheRow()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 4);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());
        var command = Step(3);
        command.AddOutput(2, targetTokenId: 99, temperature: 0.8f, LogitsDetail.FullRow);

        var result = world.Leader.Run(command)[1];

        var row = result.Row.ToArray();
        Assert.Equal(row.Max(), result.BestLogit);
        Assert.Equal(Array.IndexOf(row, row.Max()), result.BestTokenId);
        Assert.Equal(row[99], result.TargetLogit);
        Assert.Equal(Math.Log(row.Sum(logit => Math.Exp(logit))), result.LogSumExp, 1e-5);
        Assert.Equal(row.Max() / 0.8f, result.ScaledMaximum);
        Assert.Equal(row.Sum(logit => Math.Exp((logit - row.Max()) / 0.8)), result.ScaledSum, 1e-4);
    }

    /// <summary>Equal logits in several ranks' slices: the lowest id is the best, and leads the candidates.</summary>
    [Fact]
    public void Run_EqualLogits_PrefersTheLowestId()
    {
        using var checkpoint = new RandomCheckpoint(Small, TensorType.Float32, seed: 1);
        Array.Clear(checkpoint["output.weight"]);
        using var world = ModelWorld.Create(checkpoint, 2, EmbeddingLayout.SplitByDimension, ModelWorld.Options());
        var command = Step(2);
        command.AddOutput(1, detail: LogitsDetail.Candidates);

        var result = world.Leader.Run(command);

        Assert.Equal(0, result[0].BestTokenId);
        Assert.Equal(Enumerable.Range(0, 64), result[1].Candidates.ToArray().Select(candidate => candidate.TokenId));
        Assert.Equal(MathF.Log(Small.VocabularySize), result[1].LogSumExp, 1e-6f);
    }

    internal static StepCommand Step(int tokenCount, int slot = 0)
    {
        var command = new StepCommand();
        for (var position = 0; position < tokenCount; position++)
        {
            command.AddToken(position, slot, position);
        }

        command.AddOutput(tokenCount - 1);
        return command;
    }
}
