using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Generation;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Model;

/// <summary>What quantising costs: the perplexity of texts that the models were not trained on.</summary>
public sealed class QuantizedQualityTests
{
    [Fact]
    public void Demo_LosesNextToNothing() => Check(Repository.DemoCheckpoint, Repository.DemoCheckpoint, "demo.txt", int8: 0.002, int4: 0.005);

    /// <summary>A quarter of a million parameters forgive little: the smaller a model, the more each weight matters.</summary>
    [SharedDataFact("stories260k")]
    public void Stories_LosesLittle()
        => Check(
            Path.Combine(Repository.SharedData, "stories260k", "mp1"), Path.Combine(Repository.SharedData, "stories260k"), "stories.txt", int8: 0.005, int4: 0.12);

    /// <summary>Keys and values in fewer bits.</summary>
    [Fact]
    public void Demo_NarrowCache_LosesNextToNothing()
        => CheckCache(Repository.DemoCheckpoint, Repository.DemoCheckpoint, "demo.txt", bfloat16: 0.001, int8: 0.001);

    [SharedDataFact("stories260k")]
    public void Stories_NarrowCache_LosesLittle()
        => CheckCache(
            Path.Combine(Repository.SharedData, "stories260k", "mp1"), Path.Combine(Repository.SharedData, "stories260k"), "stories.txt", bfloat16: 0.002, int8: 0.005);

    /// <summary>Activations in bfloat16 where they meet weights in bfloat16.</summary>
    [SharedDataFact("stories260k")]
    public void Stories_MediumPrecision_LosesNextToNothing()
    {
        var folder = Path.Combine(Repository.SharedData, "stories260k");
        var highest = Measure(Path.Combine(folder, "mp2-bf16"), folder, "stories.txt", WeightFormat.Stored);
        var medium = Measure(Path.Combine(folder, "mp2-bf16"), folder, "stories.txt", WeightFormat.Stored, precision: MatmulPrecision.Medium);
        Assert.NotEqual(highest, medium);
        Assert.InRange(medium / highest, 1 - 0.002, 1 + 0.002);
    }

    private static void Check(string checkpoint, string tokenizer, string text, double int8, double int4)
    {
        var stored = Measure(checkpoint, tokenizer, text, WeightFormat.Stored);
        Assert.InRange(stored, 1, 5); // it is a text of the model's kind
        Assert.InRange(Measure(checkpoint, tokenizer, text, WeightFormat.Int8) / stored, 1 - int8, 1 + int8);
        Assert.InRange(Measure(checkpoint, tokenizer, text, WeightFormat.Int4) / stored, 1 - int4, 1 + int4);
    }

    private static void CheckCache(string checkpoint, string tokenizer, string text, double bfloat16, double int8)
    {
        var computed = Measure(checkpoint, tokenizer, text, WeightFormat.Stored);
        Assert.InRange(Measure(checkpoint, tokenizer, text, WeightFormat.Stored, CacheFormat.BFloat16) / computed, 1 - bfloat16, 1 + bfloat16);
        Assert.InRange(Measure(checkpoint, tokenizer, text, WeightFormat.Stored, CacheFormat.Int8) / computed, 1 - int8, 1 + int8);
    }

    private static double Measure(string folder, string tokenizerFolder, string text, WeightFormat format, CacheFormat cache = CacheFormat.Float32, MatmulPrecision precision = MatmulPrecision.Highest)
    {
        var tokenizer = SentencePieceTokenizer.Load(Path.Combine(tokenizerFolder, "tokenizer.model"));
        using var checkpoint = CheckpointFolder.Open(folder, tokenizer.VocabularySize);
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Load(
            checkpoint, group, ModelWorld.Options(maxSequenceLength: 512, maxBatchSize: 1) with
            {
                WeightFormat = format,
                CacheFormat = cache,
                MatmulPrecision = precision,
            });
        var documents = File.ReadAllLines(Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "held-out", text));
        return Perplexity.Measure(
            new LlamaGenerator(model, new LeaderLoop(model, group), tokenizer),
            documents.Select(document => (IReadOnlyList<int>)tokenizer.Encode(document, bos: true, eos: false)));
    }
}
