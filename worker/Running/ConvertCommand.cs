using Distributed.Engine.Checkpoints;
using Distributed.Worker.Options;
using Distributed.Worker.Output;

namespace Distributed.Worker.Running;

/// <summary>Writes a checkpoint in another layout, number of shards or type, or quantised; one process does it.</summary>
internal sealed class ConvertCommand
{
    // Of the source's files, those that a converted folder takes along as they are.
    private static readonly string[] TokenizerFiles = ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];

    private readonly string _source;
    private readonly string _output;
    private readonly ConversionOptions _options;

    private ConvertCommand(string source, string output, ConversionOptions options) => (_source, _output, _options) = (source, output, options);

    /// <summary>Reads the command line.</summary>
    /// <exception cref="BadInputException">It cannot be used.</exception>
    public static ConvertCommand Create(CommandLine line)
    {
        var reader = new OptionReader(line.Values, line.Problems);
        var source = reader.Required(OptionCatalog.Model, "name the folder of the checkpoint to convert");
        var output = reader.Required(OptionCatalog.Output, "name the new folder");
        TensorType? quantization = line.Values.Has(OptionCatalog.DataType)
            ? reader.Choice(OptionCatalog.DataType, TensorType.Int8, TensorType.Int8, TensorType.Int4)
            : null;
        if (quantization is null)
        {
            _ = reader.Required(OptionCatalog.Layout, "say meta or huggingface");
        }

        var layout = reader.Choice(OptionCatalog.Layout, quantization is null ? CheckpointLayout.Meta : CheckpointLayout.HuggingFace);
        if (quantization is not null && layout == CheckpointLayout.Meta)
        {
            line.Problems.Add($"--{OptionCatalog.DataType} writes quantised weights, for which Meta's layout has no form; say huggingface, or leave --{OptionCatalog.Layout} out.");
        }

        if (layout == CheckpointLayout.HuggingFace && line.Values.Has(OptionCatalog.Shards))
        {
            line.Problems.Add($"--{OptionCatalog.Shards} divides the tensors of Meta's layout; Hugging Face's divides none, so leave it out.");
        }

        var options = new ConversionOptions
        {
            Layout = layout,
            ShardCount = reader.Integer(OptionCatalog.Shards, 1, 1, 64),
            Type = line.Values.Has(OptionCatalog.Type) ? reader.Choice(OptionCatalog.Type, TensorType.Float32, TensorType.Float32, TensorType.BFloat16, TensorType.Float16) : null,
            Quantization = quantization,
        };
        return line.Problems.Count == 0 ? new ConvertCommand(source!, output!, options) : throw new BadInputException(line.Problems);
    }

    /// <summary>Converts, and tells stderr how far it is.</summary>
    /// <exception cref="BadInputException">The checkpoint cannot be read, said in that layout, or written.</exception>
    public void Run()
    {
        try
        {
            using var checkpoint = CheckpointFolder.Open(_source, tokenizerVocabularySize: null);
            var kept = CheckpointConverter.Convert(checkpoint, _output, _options, new Bar(), CancellationToken.None);
            if (kept > 0)
            {
                Console.Error.WriteLine($"{kept} file(s) that an interrupted conversion had finished are what this one would write, and were kept.");
            }

            foreach (var name in TokenizerFiles.Where(name => File.Exists(Path.Combine(_source, name))))
            {
                File.Copy(Path.Combine(_source, name), Path.Combine(_output, name));
            }
        }
        catch (Exception exception) when (exception is CheckpointException or IOException or UnauthorizedAccessException)
        {
            throw new BadInputException([exception.Message]);
        }
    }

    private sealed class Bar : IProgress<(long Done, long Total)>
    {
        private readonly ProgressBar _bar = new();

        public void Report((long Done, long Total) value) => _bar.Report(value.Done, value.Total);
    }
}
