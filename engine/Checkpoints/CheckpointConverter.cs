using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Writes a checkpoint in another layout, number of shards or type, straight from the mapped source through a buffer of 1 MiB. The folder
/// appears under its name when all of it is on the disk, or not at all. A conversion that was interrupted leaves its finished files in
/// <c>NAME.partial</c>, from which the next one goes on.
/// </summary>
public static class CheckpointConverter
{
    private const long DropInterval = 32 << 20; // bytes written; of a source that is quantised eight times as many are read
    private const string IndexName = "model.safetensors.index.json";

    /// <summary>Converts a checkpoint.</summary>
    /// <param name="source">What is converted.</param>
    /// <param name="directory">The new folder, which must not exist.</param>
    /// <param name="options">What it is to be.</param>
    /// <param name="progress">Told the bytes written, or found finished, so far and in all.</param>
    /// <param name="cancellationToken">Ends it with <see cref="OperationCanceledException"/>; finished files stay in <c>NAME.partial</c>.</param>
    /// <returns>The files that an interrupted conversion had finished, compared with the source and kept.</returns>
    /// <exception cref="CheckpointException">
    /// The folder exists, another conversion writes it, the source is quantised, or the model cannot be said in that layout.
    /// </exception>
    /// <exception cref="IOException">The disk is full or the place may not be written to.</exception>
    public static int Convert(
        CheckpointSource source,
        string directory,
        ConversionOptions options,
        IProgress<(long Done, long Total)>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        if (Path.Exists(directory))
        {
            throw new CheckpointException($"{directory} exists; name a new folder.");
        }

        if (source.Quantization is { } type)
        {
            throw new CheckpointException(
                $"The checkpoint is quantised to {type.ToString().ToLowerInvariant()}, which has lost what other forms need; convert the one that it was made from.");
        }

        if (options.Quantization is not null && options.Layout == CheckpointLayout.Meta)
        {
            throw new CheckpointException("Meta's layout has no quantised form; write the layout huggingface.");
        }

        using var mapped = source.Map();
        var (configName, config) = options.Layout == CheckpointLayout.Meta
            ? ("params.json", ConvertedConfig.ToMeta(source))
            : ("config.json", ConvertedConfig.ToHuggingFace(source, mapped.TiesOutput, options.Quantization));
        if (options.Layout == CheckpointLayout.Meta && LlamaTensors.RequireDivisible(source.Config, options.ShardCount) is { } problem)
        {
            throw new CheckpointException($"The model cannot be divided so: {problem}.");
        }

        var files = options.Layout == CheckpointLayout.Meta
            ? MetaFiles(source.Config, mapped, options)
            : HuggingFaceFiles(source.Config, mapped, options);
        using var partial = PartialFolder.Take(directory, files.Select(file => file.Name).ToHashSet(StringComparer.Ordinal));
        var kept = WriteFiles(partial.Path, files, options.Layout, mapped, progress, cancellationToken);
        WriteJson(Path.Combine(partial.Path, configName), config);
        partial.Complete();
        return kept;
    }

    private static int WriteFiles(
        string folder,
        List<(string Name, List<ShardTensor> Tensors)> files,
        CheckpointLayout layout,
        MappedCheckpoint source,
        IProgress<(long Done, long Total)>? progress,
        CancellationToken cancellationToken)
    {
        var kept = 0;
        long done = 0, dropped = 0;
        var total = files.Sum(file => file.Tensors.Sum(SafetensorsWriter.ByteCountOf));
        foreach (var (name, tensors) in files)
        {
            var path = Path.Combine(folder, name);
            var before = done;
            var reporting = tensors.ConvertAll(tensor => tensor with { Fill = (offset, destination) => Fill(tensor, offset, destination) });
            if (FinishedFile.IsRight(path, reporting, layout, cancellationToken))
            {
                kept++;
                continue;
            }

            done = before; // what was compared before a difference came is written now
            if (layout == CheckpointLayout.Meta)
            {
                MetaShardWriter.Write(path, reporting, cancellationToken);
            }
            else
            {
                SafetensorsWriter.Write(path, reporting, cancellationToken);
            }
        }

        if (layout == CheckpointLayout.HuggingFace && files.Count > 1)
        {
            var map = files.SelectMany(
                file => file.Tensors.Select(tensor => KeyValuePair.Create(tensor.Name, (JsonNode?)JsonValue.Create(file.Name))));
            WriteJson(Path.Combine(folder, IndexName), new JsonObject
            {
                ["metadata"] = new JsonObject { ["total_size"] = total },
                ["weight_map"] = new JsonObject(map),
            });
        }

        return kept;

        void Fill(ShardTensor tensor, long offset, Span<byte> destination)
        {
            tensor.Fill(offset, destination);
            done += destination.Length;
            if (Math.Abs(done - dropped) >= DropInterval)
            {
                source.DropPages(); // what was copied need not stay
                dropped = done;
            }

            progress?.Report((done, total));
        }
    }

    private static List<(string Name, List<ShardTensor> Tensors)> MetaFiles(
        LlamaConfig config, MappedCheckpoint mapped, ConversionOptions options)
    {
        // Llama 1 and 2 divide the embedding by columns; a tied one is divided by rows, so that it can stand for the output.
        var isTied = mapped.TiesOutput;
        var layout = options.ShardCount == 1 ? EmbeddingLayout.Whole
            : isTied ? EmbeddingLayout.SplitByVocabulary
            : EmbeddingLayout.SplitByDimension;
        var tensors = LlamaTensors.Of(config, layout).Where(tensor => !isTied || tensor.Name != LlamaTensors.Output).ToList();
        return
        [
            .. Enumerable.Range(0, options.ShardCount).Select(shard => (
                string.Create(CultureInfo.InvariantCulture, $"consolidated.{shard:00}.pth"),
                tensors.ConvertAll(tensor => Tensor(tensor, tensor.Name, tensor.ShapeInShard(options.ShardCount), shard)))),
        ];

        ShardTensor Tensor(LlamaTensor tensor, string name, ImmutableArray<long> shape, int shard)
        {
            var rows = tensor.Split == TensorSplit.Rows ? shard * (int)shape[0] : 0;
            var columns = tensor.Split == TensorSplit.Columns ? shard * (int)shape[1] : 0;
            return Make(mapped[tensor.Name], name, shape, rows, columns, options.Type, RowMap(config, tensor.Name, options.Layout));
        }
    }

    private static List<(string Name, List<ShardTensor> Tensors)> HuggingFaceFiles(
        LlamaConfig config, MappedCheckpoint mapped, ConversionOptions options)
    {
        var files = new List<List<ShardTensor>> { new() };
        long byteCount = 0;
        foreach (var tensor in LlamaTensors.Of(config, EmbeddingLayout.Whole))
        {
            // An output that is the embedding gets a form of its own where it is quantised: the embedding is not.
            if (tensor.Name == LlamaTensors.Output && mapped.TiesOutput && options.Quantization is null)
            {
                continue;
            }

            var made = MakeWhole(config, mapped[tensor.Name], tensor, options);
            if (files[^1].Count > 0 && byteCount + SafetensorsWriter.ByteCountOf(made) > options.MaxFileByteCount)
            {
                files.Add([]);
                byteCount = 0;
            }

            files[^1].Add(made);
            byteCount += SafetensorsWriter.ByteCountOf(made);
        }

        return
        [
            .. files.Select((tensors, index) => (
                files.Count == 1
                    ? "model.safetensors"
                    : string.Create(CultureInfo.InvariantCulture, $"model-{index + 1:00000}-of-{files.Count:00000}.safetensors"),
                tensors)),
        ];
    }

    private static ShardTensor MakeWhole(LlamaConfig config, StoredTensor source, LlamaTensor tensor, ConversionOptions options)
    {
        var name = LlamaTensorNames.ToHuggingFace(tensor.Name);
        var rowOf = RowMap(config, tensor.Name, options.Layout);
        return options.Quantization is { } type && BlockShape.Of(config, tensor, type) is { } blocks
            ? new ShardTensor(name, blocks.Type, blocks.FileShape, new QuantizedPart(source, blocks, rowOf).Fill)
            : Make(source, name, tensor.Shape, 0, 0, options.Type, rowOf);
    }

    private static ShardTensor Make(
        StoredTensor source, string name, ImmutableArray<long> shape, int firstRow, int firstColumn, TensorType? type, Func<int, int>? rowOf)
    {
        var (rows, columns) = shape.Length == 1 ? (1, (int)shape[0]) : ((int)shape[0], (int)shape[1]);
        var part = new TensorPart(source, type ?? source.Type, (firstRow, rows), (firstColumn, columns), rowOf);
        return new ShardTensor(name, type ?? source.Type, shape, part.Fill);
    }

    /// <summary>
    /// Rows of wq and wk in the other order of rotary pairs: Meta has the two of a pair side by side, Hugging Face half a head apart.
    /// </summary>
    private static Func<int, int>? RowMap(LlamaConfig config, string name, CheckpointLayout layout)
    {
        var toHalves = layout == CheckpointLayout.HuggingFace;
        var isTurned = name.EndsWith("wq.weight", StringComparison.Ordinal) || name.EndsWith("wk.weight", StringComparison.Ordinal);
        if (config.RotatesHalves == toHalves || !isTurned)
        {
            return null;
        }

        var (width, half) = (config.HeadDimension, config.HeadDimension / 2);
        return toHalves
            ? row => (row / width * width) + (2 * (row % width % half)) + (row % width / half)
            : row => (row / width * width) + (row % 2 * half) + (row % width / 2);
    }

    private static void WriteJson(string path, JsonObject json)
    {
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
        using (var writer = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true }))
        {
            json.WriteTo(writer);
        }

        file.Flush(flushToDisk: true);
    }
}
