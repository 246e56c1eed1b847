using System.Globalization;
using Distributed.Engine.Checkpoints;
using Distributed.Worker.Options;

namespace Distributed.Worker.Running;

/// <summary>Says what a checkpoint is and lists its tensors; reads no weights.</summary>
internal sealed class InspectCommand
{
    private const int BlockLength = 32; // of every quantised checkpoint

    private readonly string _directory;

    private InspectCommand(string directory) => _directory = directory;

    /// <summary>Reads the command line.</summary>
    /// <exception cref="BadInputException">It cannot be used.</exception>
    public static InspectCommand Create(CommandLine line)
    {
        var directory = new OptionReader(line.Values, line.Problems).Required(OptionCatalog.Model, "name the folder of the checkpoint");
        return line.Problems.Count == 0 ? new InspectCommand(directory!) : throw new BadInputException(line.Problems);
    }

    /// <summary>Writes the list.</summary>
    /// <exception cref="CheckpointException">The checkpoint is not one that can be run.</exception>
    public void Run(TextWriter output)
    {
        using var checkpoint = CheckpointFolder.Open(_directory, tokenizerVocabularySize: null);
        using var mapped = checkpoint.Map();
        var config = checkpoint.Config;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{checkpoint.Family}: {config.LayerCount} layers, {config.HeadCount} heads of {config.HeadDimension}, {config.KeyValueHeadCount} key-value heads, "
            + $"width {config.Dimension}, hidden {config.HiddenDimension}, {config.VocabularySize} token ids, {checkpoint.ShardCount} shard(s), {checkpoint.ByteCount} bytes"));
        if (checkpoint.Quantization is { } type)
        {
            output.WriteLine($"quantised to {type.ToString().ToLowerInvariant()} in blocks of {BlockLength}, the embedding as it was");
        }

        foreach (var tensor in mapped.Tensors)
        {
            output.WriteLine($"{tensor.Name}\t{tensor.Type.ToString().ToLowerInvariant()}\t[{string.Join(", ", tensor.Shape)}]\t{tensor.PartCount} part(s)");
        }

        if (mapped.TiesOutput)
        {
            output.WriteLine("output.weight is tok_embeddings.weight");
        }
    }
}
