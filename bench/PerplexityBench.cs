using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Generation;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;
using Distributed.Engine.Weights;

namespace Distributed.Bench;

/// <summary>
/// What quantising costs in quality: the <see cref="Perplexity"/> of a text, one document a line, in each format of the weights and of the cache. The text should be one that the model was not trained on.
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
        Console.WriteLine($"{"weights",-8} {"cache",-8} {"products",-8} {"perplexity",10} {"difference",10} {"MB",8}");
        var stored = 0.0;
        using var mapped = checkpoint.Map();
        (WeightFormat Weights, CacheFormat Cache, MatmulPrecision Precision)[] formats =
        [
            .. Enum.GetValues<WeightFormat>().Select(weights => (weights, CacheFormat.Float32, MatmulPrecision.Highest)),
            .. Enum.GetValues<CacheFormat>().Skip(1).Select(cache => (WeightFormat.Stored, cache, MatmulPrecision.Highest)),
            .. mapped[LlamaTensors.FirstMatrix].Type == TensorType.BFloat16 ? [(WeightFormat.Stored, CacheFormat.Float32, MatmulPrecision.Medium)] : Array.Empty<(WeightFormat, CacheFormat, MatmulPrecision)>(),
        ];
        foreach (var format in formats)
        {
            using var group = new SingleProcessGroup();
            using var model = LlamaModel.Load(checkpoint, group, new LlamaModelOptions
            {
                MaxSequenceLength = prompts.Max(prompt => prompt.Count) + 1,
                MaxBatchSize = 1,
                ThreadCount = Environment.ProcessorCount,
                WeightFormat = format.Weights,
                CacheFormat = format.Cache,
                MatmulPrecision = format.Precision,
            });
            var generator = new LlamaGenerator(model, new LeaderLoop(model, group), tokenizer);
            var perplexity = Perplexity.Measure(generator, prompts);
            stored = format == default ? perplexity : stored;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{format.Weights,-8} {format.Cache,-8} {format.Precision,-8} {perplexity,10:F4} {(perplexity / stored) - 1,10:P2} {model.MatrixByteCount / 1e6,8:F2}"));
        }

        return 0;
    }
}
