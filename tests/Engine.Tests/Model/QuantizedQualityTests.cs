using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
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

    private static void Check(string checkpoint, string tokenizer, string text, double int8, double int4)
    {
        var stored = Perplexity(checkpoint, tokenizer, text, WeightFormat.Stored);
        Assert.InRange(stored, 1, 5); // it is a text of the model's kind
        Assert.InRange(Perplexity(checkpoint, tokenizer, text, WeightFormat.Int8) / stored, 1 - int8, 1 + int8);
        Assert.InRange(Perplexity(checkpoint, tokenizer, text, WeightFormat.Int4) / stored, 1 - int4, 1 + int4);
    }

    private static double Perplexity(string folder, string tokenizerFolder, string text, WeightFormat format)
    {
        var tokenizer = SentencePieceTokenizer.Load(Path.Combine(tokenizerFolder, "tokenizer.model"));
        using var checkpoint = CheckpointFolder.Open(folder, tokenizer.VocabularySize);
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Load(checkpoint, group, ModelWorld.Options(maxSequenceLength: 512, maxBatchSize: 1) with { WeightFormat = format });
        var generator = new LlamaGenerator(model, new LeaderLoop(model, group), tokenizer);
        var options = new GenerationOptions { MaxGenerationLength = 0, Temperature = 0, Echo = true, LogProbabilities = true };
        var documents = File.ReadAllLines(Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "held-out", text));
        var logProbabilities = documents
            .SelectMany(document => generator.Generate([[.. tokenizer.Encode(document, bos: true, eos: false)]], options)[0].LogProbabilities!.Skip(1))
            .ToArray();
        return Math.Exp(-logProbabilities.Average(value => (double)value));
    }
}
