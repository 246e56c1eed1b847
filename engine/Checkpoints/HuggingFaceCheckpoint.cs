using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A checkpoint in the layout of Hugging Face: <c>config.json</c>, and <c>model.safetensors</c> or the files that
/// <c>model.safetensors.index.json</c> lists. Each tensor lies whole in one file.
/// </summary>
public sealed class HuggingFaceCheckpoint : CheckpointSource
{
    private const string ConfigName = "config.json";
    private const string SingleName = "model.safetensors";
    private const string IndexName = "model.safetensors.index.json";
    private const int MaxIndexByteCount = 2 << 20; // that of Llama 3.1 405B has 0.1 MB
    private const int MaxFileCount = 4096;

    private readonly ShardFile[] _files;
    private readonly FoundTensor[] _tensors;

    private HuggingFaceCheckpoint(
        string configPath,
        ShardFile[] files,
        FoundTensor[] tensors,
        HuggingFaceConfig config)
    {
        ConfigPath = configPath;
        _files = files;
        _tensors = tensors;
        (Config, Family, EosTokenIds, Quantization) = (config.Config, config.Family, config.EosTokenIds, config.Quantization);
    }

    /// <inheritdoc/>
    public override LlamaConfig Config { get; }

    /// <summary>1: every tensor is whole, in however many files they lie.</summary>
    public override int ShardCount => 1;

    /// <inheritdoc/>
    public override long ByteCount => _tensors.Sum(tensor => tensor.Entry.ByteCount);

    /// <inheritdoc/>
    public override ModelFamily Family { get; }

    /// <inheritdoc/>
    public override ImmutableArray<int> EosTokenIds { get; }

    /// <inheritdoc/>
    public override TensorType? Quantization { get; }

    /// <summary>The file that the config was read from.</summary>
    internal string ConfigPath { get; }

    /// <summary>Whether a folder holds such a checkpoint.</summary>
    public static bool IsIn(string directory)
        => File.Exists(Path.Combine(directory, ConfigName))
            && (File.Exists(Path.Combine(directory, SingleName)) || File.Exists(Path.Combine(directory, IndexName)));

    /// <summary>Reads and validates everything but the weights themselves; the files stay open until this is disposed.</summary>
    /// <param name="directory">With config.json and the weights.</param>
    /// <param name="tokenizerVocabularySize">
    /// The number of tokens of the tokenizer that will be used, at most the model's; <see langword="null"/> without one.
    /// </param>
    /// <exception cref="CheckpointException">
    /// Something is missing, damaged, inconsistent, or of a kind that cannot be run; the message is one sentence for the user.
    /// </exception>
    public static HuggingFaceCheckpoint Open(string directory, int? tokenizerVocabularySize)
    {
        var path = Path.Combine(directory, ConfigName);
        var config = HuggingFaceConfig.Read(path);
        if (tokenizerVocabularySize > config.Config.VocabularySize)
        {
            throw new CheckpointException(
                $"The tokenizer has {tokenizerVocabularySize} tokens but {path} has vocab_size {config.Config.VocabularySize}; "
                + "use the checkpoint's own tokenizer.");
        }

        var map = ReadMap(directory);
        var files = new List<ShardFile>();
        try
        {
            var found = new Dictionary<string, (int File, TensorEntry Entry)>(StringComparer.Ordinal);
            foreach (var name in FileNames(map))
            {
                files.Add(ShardFile.Open(Path.Combine(directory, name)));
                AddTensors(files, name, map, found);
            }

            if (map?.Keys.FirstOrDefault(name => !found.ContainsKey(name)) is { } missing)
            {
                throw new CheckpointException(
                    $"{Path.Combine(directory, map[missing])} lacks tensor '{Printable.Of(missing)}', which {IndexName} says it has; "
                    + "download both again.");
            }

            return new HuggingFaceCheckpoint(path, [.. files], Select(path, config, found, files), config);
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }
    }

    /// <inheritdoc/>
    public override MappedCheckpoint Map()
    {
        var mapped = new List<MappedFile>(_files.Length);
        try
        {
            mapped.AddRange(_files.Select(file => new MappedFile(file)));
            return new MappedCheckpoint(mapped, _tensors.Select(tensor => Stored(tensor, mapped[tensor.File].Start)));
        }
        catch
        {
            mapped.ForEach(file => file.Dispose());
            throw;
        }

        static StoredTensor Stored(FoundTensor found, nint start)
        {
            var (tensor, entry) = (found.Tensor, found.Entry);
            if (found.Blocks is { } blocks)
            {
                var tiles = new MappedTensor(entry.Name, blocks.Type, entry.Shape, start + (nint)entry.Offset);
                return new StoredTensor(tensor.Name, blocks.Type, tensor.Shape, tensor.Split, [tiles], blocks);
            }

            var data = entry.Map(start);
            return new StoredTensor(tensor.Name, data.Type, tensor.Shape, tensor.Split, [data]);
        }
    }

    /// <summary>Does nothing: safetensors files have no checksums.</summary>
    public override void VerifyChecksums(
        int part, int partCount, int threadCount, IProgress<(long Done, long Total)>? progress, CancellationToken cancellationToken)
    {
    }

    /// <summary>The files that a folder's index lists, or the one that there is without an index.</summary>
    /// <exception cref="CheckpointException">The index cannot be read.</exception>
    internal static IReadOnlyList<string> FileNames(string directory) => FileNames(ReadMap(directory));

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Array.ForEach(_files, file => file.Dispose());

    private static string[] FileNames(Dictionary<string, string>? map)
        => map is null ? [SingleName] : [.. map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <summary>The file of each tensor as the index lists it; <see langword="null"/> where one file holds all.</summary>
    private static Dictionary<string, string>? ReadMap(string directory)
    {
        var path = Path.Combine(directory, IndexName);
        if (!File.Exists(path))
        {
            return null;
        }

        using var document = CheckpointJson.Parse(path, MaxIndexByteCount, "the files that it lists");
        return ReadMap(document, path);
    }

    /// <summary>The file of each tensor as the text of an index lists it; <paramref name="path"/> names it in errors.</summary>
    /// <exception cref="CheckpointException">It is no index.</exception>
    internal static Dictionary<string, string> ReadMap(JsonDocument document, string path)
    {
        if (document.RootElement.ValueKind != JsonValueKind.Object
            || !document.RootElement.TryGetProperty("weight_map", out var weights)
            || weights.ValueKind != JsonValueKind.Object)
        {
            throw new CheckpointException($"{path} has no object weight_map; download it again.");
        }

        var map = weights.EnumerateObject().ToDictionary(entry => entry.Name, FileName, StringComparer.Ordinal);
        return map.Values.Distinct(StringComparer.Ordinal).Count() is > 0 and <= MaxFileCount
            ? map
            : throw new CheckpointException($"{path} lists no files or more than {MaxFileCount}; download it again.");

        // A name and never a path. A link is followed: the hub's cache consists of them.
        string FileName(JsonProperty entry)
            => entry.Value.ValueKind == JsonValueKind.String
                && entry.Value.GetString() is { Length: > 0 and <= 255 } name
                && name.EndsWith(".safetensors", StringComparison.Ordinal)
                && name.AsSpan().IndexOfAny("/\\:\0") < 0
                    ? name
                    : throw new CheckpointException(
                        $"{path} gives tensor '{Printable.Of(entry.Name)}' the file {Printable.Of(entry.Value.GetRawText())}, "
                        + "which is no plain name of a .safetensors file.");
    }

    private static void AddTensors(
        List<ShardFile> files, string name, Dictionary<string, string>? map, Dictionary<string, (int File, TensorEntry Entry)> found)
    {
        var file = files[^1];
        foreach (var entry in SafetensorsIndex.Read(file).Tensors.Values.OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            if (map is not null && map.GetValueOrDefault(entry.Name) != name)
            {
                throw file.Error($"has tensor '{Printable.Of(entry.Name)}', which {IndexName} does not list for this file; download both again");
            }

            found.Add(entry.Name, (files.Count - 1, entry));
        }
    }

    /// <summary>The model's tensors, each of its shape and all of one type, and no others.</summary>
    private static FoundTensor[] Select(
        string path, HuggingFaceConfig config, Dictionary<string, (int File, TensorEntry Entry)> found, List<ShardFile> files)
    {
        var selected = new List<FoundTensor>();
        foreach (var tensor in LlamaTensors.Of(config.Config, EmbeddingLayout.Whole))
        {
            var name = LlamaTensorNames.ToHuggingFace(tensor.Name);
            if (!found.Remove(name, out var place))
            {
                if (tensor.Name == LlamaTensors.Output && config.TiesEmbeddings)
                {
                    continue;
                }

                throw new CheckpointException(
                    $"{Path.GetDirectoryName(path)} lacks tensor '{name}', which the model of {ConfigName} has; "
                    + "the download is incomplete or of another model.");
            }

            var blocks = config.Quantization is { } type ? BlockShape.Of(config.Config, tensor, type) : null;
            if (blocks is { } shape)
            {
                RequireBlocks(shape, place.Entry, files[place.File]);
            }
            else
            {
                RequireShapeAndType(tensor, place.Entry, files[place.File], selected.FirstOrDefault()?.Entry ?? place.Entry); // the embedding is first
            }

            selected.Add(new FoundTensor(tensor, place.File, place.Entry, blocks));
        }

        return found.Keys.Where(name => !LlamaTensorNames.IsIgnored(name)).Min(StringComparer.Ordinal) is { } other
            ? throw files[found[other].File].Error(
                $"has tensor '{Printable.Of(other)}', which the model of {ConfigName} does not have; the two are not of one model")
            : [.. selected];
    }

    private static void RequireBlocks(BlockShape shape, TensorEntry entry, ShardFile file)
    {
        if (entry.Type != StorageType.Of(shape.Type) || !entry.Shape.AsSpan().SequenceEqual(shape.FileShape.AsSpan()))
        {
            throw file.Error($"has tensor '{entry.Name}' as {TensorLayout.Format(entry.Shape.AsSpan())} of {entry.Type.Name}, but quantised as {ConfigName} says it is "
                + $"{TensorLayout.Format(shape.FileShape.AsSpan())} of uint8; convert the original again");
        }
    }

    private static void RequireShapeAndType(LlamaTensor tensor, TensorEntry entry, ShardFile file, TensorEntry first)
    {
        if (!entry.Shape.AsSpan().SequenceEqual(tensor.Shape.AsSpan()))
        {
            throw file.Error($"has tensor '{entry.Name}' as {TensorLayout.Format(entry.Shape.AsSpan())}, but the model of {ConfigName} has it as "
                + $"{TensorLayout.Format(tensor.Shape.AsSpan())}; the two are not of one model");
        }

        if (entry.Type.TensorType is null)
        {
            throw file.Error($"has tensor '{entry.Name}' in {entry.Type.Name}; save it again in float32, bfloat16 or float16");
        }

        if (entry.Type != first.Type)
        {
            throw file.Error($"has tensor '{entry.Name}' in {entry.Type.Name} but '{first.Name}' is {first.Type.Name}; save all tensors in one type");
        }
    }

    // A tensor of the model in its file, and how it lies there where it is quantised.
    private sealed record FoundTensor(LlamaTensor Tensor, int File, TensorEntry Entry, BlockShape? Blocks);
}
