using System.Text.Json;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>
/// Tiny checkpoints of each family against logits of a plain forward pass in PyTorch (References/make_references.py), on one rank and several.
/// </summary>
public sealed class HuggingFaceReferenceTests
{
    private const float Tolerance = 1e-4f;

    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References");

    public static TheoryData<string, int> Worlds
    {
        get
        {
            var worlds = new TheoryData<string, int>();
            foreach (var family in new[] { "llama3", "llama2-linear", "mistral", "qwen2", "qwen3" })
            {
                foreach (var worldSize in new[] { 1, 2, 3, 4 })
                {
                    worlds.Add(family, worldSize);
                }
            }

            return worlds;
        }
    }

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Run_Family_GivesLogitsOfReference(string family, int worldSize)
    {
        using var reference = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(References, family, "logits.json")));
        var tokens = reference.RootElement.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32()).ToArray();
        var expected = reference.RootElement.GetProperty("logits").EnumerateArray()
            .Select(row => row.EnumerateArray().Select(logit => logit.GetSingle()).ToArray())
            .ToArray();
        using var world = ModelWorld.Load(Path.Combine(References, family), ModelWorld.Options(maxBatchSize: 9), worldSize: worldSize);
        var rows = new List<float[]>();
        for (var start = 0; start < tokens.Length; start += 9)
        {
            var command = new StepCommand();
            for (var position = start; position < Math.Min(start + 9, tokens.Length); position++)
            {
                command.AddToken(tokens[position], 1, position);
                command.AddOutput(position - start, detail: LogitsDetail.FullRow);
            }

            var result = world.Leader.Run(command);
            rows.AddRange(Enumerable.Range(0, result.Count).Select(output => result[output].Row.ToArray()));
        }

        Assert.Equal(expected.Length, rows.Count);
        for (var position = 0; position < expected.Length; position++)
        {
            Assert.Equal(expected[position].Length, rows[position].Length);
            for (var id = 0; id < expected[position].Length; id++)
            {
                Assert.Equal(expected[position][id], rows[position][id], Tolerance);
            }
        }
    }

    /// <summary>A window that begins within a block of the cache, over more blocks than one, against one that sees all.</summary>
    [Fact]
    public void Run_WindowOverSeveralBlocks_ForgetsWhatLiesBefore()
    {
        var config = new LlamaConfig
        {
            Dimension = 32,
            LayerCount = 1,
            HeadCount = 4,
            KeyValueHeadCount = 2,
            HiddenDimension = 64,
            VocabularySize = 64,
            NormEpsilon = 1e-5f,
        };
        using var checkpoint = new RandomCheckpoint(config with { SlidingWindow = 100 }, TensorType.Float32, seed: 21);
        using var windowed = ModelWorld.Create(checkpoint, 1, EmbeddingLayout.Whole, ModelWorld.Options(maxBatchSize: 2));
        int[] tokens = [.. Enumerable.Range(0, 170).Select(i => (i * 7) % 64)];

        // One layer: what its last token sees is exactly the window.
        var whole = LastRow(tokens, slot: 0);
        tokens[69] ^= 1;
        var outside = LastRow(tokens, slot: 1);
        tokens[70] ^= 1;
        var inside = LastRow(tokens, slot: 0);

        Assert.Equal(whole, outside);
        Assert.NotEqual(whole, inside);

        float[] LastRow(int[] ids, int slot)
        {
            var command = new StepCommand();
            for (var position = 0; position < ids.Length; position++)
            {
                command.AddToken(ids[position], slot, position);
            }

            command.AddOutput(ids.Length - 1, detail: LogitsDetail.FullRow);
            return windowed.Leader.Run(command)[0].Row.ToArray();
        }
    }

    [Fact]
    public void Load_LongerThanDynamicScalingAllows_SaysWhatToLower()
    {
        var config = new LlamaConfig
        {
            Dimension = 32,
            LayerCount = 1,
            HeadCount = 4,
            KeyValueHeadCount = 2,
            HiddenDimension = 64,
            VocabularySize = 64,
            NormEpsilon = 1e-5f,
            MaxSequenceLength = 100,
        };

        config.RequireSequenceLength(100);
        var error = Assert.Throws<CheckpointException>(() => config.RequireSequenceLength(101));

        Assert.Contains("max_seq_len is 101", error.Message, StringComparison.Ordinal);
        Assert.Contains("100 positions", error.Message, StringComparison.Ordinal);
    }
}
