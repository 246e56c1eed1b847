using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>The model against Meta's published code on PyTorch, float32 on one rank.</summary>
public sealed class GoldenTests
{
    private const float Tolerance = 1e-4f;

    [SharedDataTheory("stories260k")]
    [InlineData("mp1")]
    [InlineData("mp2")]
    [InlineData("mp4")]
    public void Run_WholePrompts_GivesLogitsOfReference(string shards)
        => CheckLogits(Path.Combine(Repository.SharedData, "stories260k", shards), StoriesGolden("float32"));

    [SharedDataTheory("stories260k")]
    [InlineData("mp1", "float32")]
    [InlineData("mp2", "float32")]
    [InlineData("mp4", "float32")]
    [InlineData("mp2-bf16", "bfloat16-stored")]
    [InlineData("mp2-fp16", "float16-stored")]
    public void Run_Greedy_GivesTokensAndLogprobsOfReference(string shards, string golden)
        => CheckGreedy(Path.Combine(Repository.SharedData, "stories260k", shards), StoriesGolden(golden));

    [SharedDataTheory("stories260k")]
    [InlineData("mp1", 2)]
    [InlineData("mp1", 3)]
    [InlineData("mp1", 4)]
    [InlineData("mp1", 5)]
    [InlineData("mp1", 8)]
    [InlineData("mp2", 1)]
    [InlineData("mp2", 3)]
    [InlineData("mp2", 4)]
    [InlineData("mp2", 5)]
    [InlineData("mp2", 8)]
    [InlineData("mp4", 1)]
    [InlineData("mp4", 2)]
    [InlineData("mp4", 3)]
    [InlineData("mp4", 5)]
    [InlineData("mp4", 8)]
    public void Run_GreedyOnAnyWorldSize_GivesTokensAndLogprobsOfReference(string shards, int worldSize)
        => CheckGreedy(Path.Combine(Repository.SharedData, "stories260k", shards), StoriesGolden("float32"), worldSize);

    [SharedDataTheory("stories260k")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(8)]
    public void Run_GreedyFromHuggingFaceForm_GivesTokensAndLogprobsOfReference(int worldSize)
    {
        using var folder = new TemporaryFolder();
        using (var checkpoint = CheckpointFolder.Open(Path.Combine(Repository.SharedData, "stories260k", "mp2"), null))
        {
            CheckpointConverter.Convert(checkpoint, folder["hf"], new() { Layout = CheckpointLayout.HuggingFace });
        }

        CheckGreedy(folder["hf"], StoriesGolden("float32"), worldSize);
    }

    [Fact]
    public void Run_Demo_GivesLogitsOfReference()
        => CheckLogits(Repository.DemoCheckpoint, Golden.Read(Path.Combine(Repository.DemoCheckpoint, "golden.json")));

    [Fact]
    public void Run_DemoGreedy_GivesTokensAndLogprobsOfReference()
        => CheckGreedy(Repository.DemoCheckpoint, Golden.Read(Path.Combine(Repository.DemoCheckpoint, "golden.json")));

    private static Golden StoriesGolden(string name)
        => Golden.Read(Path.Combine(Repository.SharedData, "stories260k", "golden", $"{name}.json"));

    private static void CheckLogits(string directory, Golden golden)
    {
        using var world = ModelWorld.Load(directory, ModelWorld.Options(golden.MaxSeqLen, golden.MaxBatchSize));
        var command = new StepCommand();
        Assert.NotEmpty(golden.Logits!);
        foreach (var expected in golden.Logits!)
        {
            command.Clear();
            for (var position = 0; position < expected.Tokens.Length; position++)
            {
                command.AddToken(expected.Tokens[position], 0, position);
                var last = position == expected.Tokens.Length - 1;
                command.AddOutput(position, detail: last ? LogitsDetail.FullRow : LogitsDetail.Best);
            }

            var result = world.Leader.Run(command);

            for (var position = 0; position < expected.Tokens.Length; position++)
            {
                Assert.Equal(expected.ArgmaxPerPosition[position], result[position].BestTokenId);
                Assert.Equal(expected.LogsumexpPerPosition[position], result[position].LogSumExp, Tolerance);
            }

            var final = result[expected.Tokens.Length - 1];
            Assert.Equal(expected.LastLogits.Length, final.Row.Length);
            for (var id = 0; id < final.Row.Length; id++)
            {
                Assert.Equal(expected.LastLogits[id], final.Row[id], Tolerance);
            }

            for (var i = 0; i < expected.Top8.Length; i++)
            {
                Assert.Equal((int)expected.Top8[i][0], final.Candidates[i].TokenId);
                Assert.Equal(expected.Top8[i][1], final.Candidates[i].Logit, Tolerance);
            }
        }
    }

    // Each row teacher-forces its prompt and then follows the reference's loop without its stop: what the golden file holds is a prefix.
    private static void CheckGreedy(string directory, Golden golden, int worldSize = 0)
    {
        using var world = ModelWorld.Load(
            directory, ModelWorld.Options(golden.MaxSeqLen, golden.MaxBatchSize), worldSize: worldSize);
        var generator = new GreedyRows(world.Leader);

        // Cases that differ only in what they show, such as with and without echo, need one run.
        foreach (var same in golden.Cases.GroupBy(expected => Key(expected)))
        {
            var rows = generator.Run([.. same.First().Items.Select(item => item.PromptTokens)], same.First().MaxGenLen, golden.MaxSeqLen);
            foreach (var expected in same)
            {
                Compare(expected, rows);
            }
        }
    }

    private static string Key(Golden.Case expected)
        => $"{expected.MaxGenLen}: {string.Join(" | ", expected.Items.Select(item => string.Join(' ', item.PromptTokens)))}";

    private static void Compare(Golden.Case expected, (List<int> Tokens, List<float> Logprobs)[] rows)
    {
        for (var i = 0; i < rows.Length; i++)
        {
            var item = expected.Items[i];
            var first = expected.Echo ? 0 : item.PromptTokens.Length;
            for (var t = 0; t < item.Tokens.Length; t++)
            {
                Assert.True(rows[i].Tokens[first + t] == item.Tokens[t], $"{expected.Name}[{i}] differs at token {t}.");
                if (item.Logprobs is { } logprobs)
                {
                    Assert.Equal(logprobs[t], rows[i].Logprobs[first + t], Tolerance);
                }
            }
        }
    }
}
