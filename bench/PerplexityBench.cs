using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;
using Distributed.Engine.Weights;

namespace Distributed.Bench;

/// <summary>
/// What quantising costs in quality: the perplexity of a text, one document a line, exp(- mean log P(token | the document so far)), in each format of the
/// weights. The text should be one that the model was not trained on.
/// </summary>
internal static class PerplexityBench
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "model", "tokenizer", "text", "weights");
        var folder = options.Text("model", "configs/demo");
        var tokenizer = SentencePieceTokenizer.Load(options.Text("tokenizer", Path.Combine(folder, "tokenizer.model")));
        var documents = File.ReadAllLines(options.Text("text", "tests/Engine.Tests/References/held-out/demo.txt"));
        var prompts = documents.Select(text => (IReadOnlyList<int>)tokenizer.Encode(text, bos: true, eos: false)).ToArray();
        using var checkpoint = CheckpointFolder.Open(folder, tokenizer.VocabularySize);
        Console.WriteLine($"{documents.Length} documents, {prompts.Sum(prompt => prompt.Count - 1)} tokens");
        Console.WriteLine($"{"weights",-8} {"perplexity",10} {"difference",10} {"MB",8}");
        var stored = 0.0;
        foreach (var format in Enum.GetValues<WeightFormat>())
        {
            using var group = new SingleProcessGroup();
            using var model = LlamaModel.Load(checkpoint, group, new LlamaModelOptions
            {
                MaxSequenceLength = prompts.Max(prompt => prompt.Count) + 1,
                MaxBatchSize = 1,
                ThreadCount = Environment.ProcessorCount,
                WeightFormat = format,
            });
            var generator = new LlamaGenerator(model, new LeaderLoop(model, group), tokenizer);
            var perplexity = Perplexity(generator, prompts);
            stored = format == WeightFormat.Stored ? perplexity : stored;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{format,-8} {perplexity,10:F4} {(perplexity / stored) - 1,10:P2} {model.MatrixByteCount / 1e6,8:F2}"));
        }

        return 0;
    }

    private static double Perplexity(LlamaGenerator generator, IEnumerable<IReadOnlyList<int>> prompts)
    {
        var (sum, count) = (0.0, 0);
        var options = new GenerationOptions { MaxGenerationLength = 0, Temperature = 0, Echo = true, LogProbabilities = true };
        foreach (var prompt in prompts)
        {
            var logProbabilities = generator.Generate([prompt], options)[0].LogProbabilities!;
            sum += logProbabilities.Skip(1).Sum(value => (double)value);
            count += logProbabilities.Count - 1;
        }

        return Math.Exp(-sum / count);
    }
}
