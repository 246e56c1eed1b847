using System.Globalization;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A checkpoint in Meta's layout: <c>params.json</c> and <c>consolidated.00.pth</c>, <c>.01.pth</c>, each with its part of every tensor.
/// </summary>
public sealed class MetaCheckpoint : CheckpointSource
{
    private readonly ShardFile[] _files;
    private readonly ShardIndex[] _shards;

    private MetaCheckpoint(ShardFile[] files, ShardIndex[] shards, LlamaConfig config, EmbeddingLayout layout)
    {
        _files = files;
        _shards = shards;
        Config = config;
        EmbeddingLayout = layout;
    }

    /// <inheritdoc/>
    public override LlamaConfig Config { get; }

    /// <summary>The number of files.</summary>
    public override int ShardCount => _shards.Length;

    /// <inheritdoc/>
    public override long ByteCount => _shards.Sum(shard => shard.ByteCount);

    /// <summary>How the shards divide the embedding.</summary>
    public EmbeddingLayout EmbeddingLayout { get; }

    /// <summary>Reads and validates everything but the weights themselves; the files stay open until this is disposed.</summary>
    /// <param name="directory">With params.json and the shards.</param>
    /// <param name="tokenizerVocabularySize">
    /// The number of tokens of the tokenizer that will be used; it must be the model's. <see langword="null"/> without one: then a
    /// vocab_size of -1 is taken from the rows of output.weight.
    /// </param>
    /// <exception cref="CheckpointException">
    /// Something is missing, damaged or inconsistent; the message is one sentence for the user.
    /// </exception>
    public static MetaCheckpoint Open(string directory, int? tokenizerVocabularySize)
    {
        var paths = FindShards(directory);
        var parameters = LlamaParameters.Read(Path.Combine(directory, "params.json"));
        var files = new List<ShardFile>(paths.Length);
        try
        {
            var shards = new ShardIndex[paths.Length];
            foreach (var path in paths)
            {
                files.Add(ShardFile.Open(path));
                shards[files.Count - 1] = ShardIndex.Read(files[^1]);
            }

            var (config, layout) = new ShardSet(files, shards).Validate(parameters, tokenizerVocabularySize);
            return new MetaCheckpoint([.. files], shards, config, layout);
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }
    }

    /// <summary>Maps the file of one shard; the caller disposes it, before or after this.</summary>
    /// <param name="shard">0 to <see cref="ShardCount"/> - 1.</param>
    /// <exception cref="CheckpointException">The file changed since <see cref="Open"/>, or cannot be mapped.</exception>
    public MappedShard MapShard(int shard) => new(_files[shard], _shards[shard]);

    /// <summary>The name of the file of one shard.</summary>
    internal string ShardFileName(int shard) => Path.GetFileName(_files[shard].Path);

    /// <inheritdoc/>
    public override MappedCheckpoint Map()
    {
        var mapped = new List<MappedShard>(ShardCount);
        try
        {
            mapped.AddRange(Enumerable.Range(0, ShardCount).Select(MapShard));
            return new MappedCheckpoint(
                mapped.Select(shard => shard.File), LlamaTensors.Of(Config, EmbeddingLayout).Where(tensor => mapped[0].Contains(tensor.Name)).Select(Join));
        }
        catch
        {
            mapped.ForEach(shard => shard.Dispose());
            throw;
        }

        StoredTensor Join(LlamaTensor tensor)
        {
            var parts = mapped.Select(shard => shard[tensor.Name]);
            return new StoredTensor(
                tensor.Name,
                mapped[0][tensor.Name].Type,
                tensor.Shape,
                tensor.Split,
                [.. tensor.Split == TensorSplit.Replicated ? parts.Take(1) : parts]);
        }
    }

    /// <inheritdoc/>
    public override void VerifyChecksums(
        int part, int partCount, int threadCount, IProgress<(long Done, long Total)>? progress, CancellationToken cancellationToken)
    {
        // A storage belongs to the part that its first byte lies in: with as many parts as shards, each part is one file.
        long start = 0;
        var parts = new List<(int Shard, ZipMember[] Storages)>();
        for (var number = 0; number < ShardCount; number++)
        {
            ZipMember[] storages =
            [
                .. _shards[number].Storages.Where(storage =>
                {
                    var first = start;
                    start += storage.ByteCount;
                    return (Int128)first * partCount / ByteCount == part;
                }),
            ];
            if (storages.Length > 0)
            {
                parts.Add((number, storages));
            }
        }

        var total = parts.Sum(shard => shard.Storages.Sum(storage => storage.ByteCount));
        long done = 0;
        foreach (var (number, storages) in parts)
        {
            using var shard = MapShard(number);
            shard.VerifyChecksums(storages, threadCount, progress is null ? null : new PartProgress(progress, done, total), cancellationToken);
            done += storages.Sum(storage => storage.ByteCount);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Array.ForEach(_files, file => file.Dispose());

    /// <summary>The paths of consolidated.00.pth, consolidated.01.pth, ... with no gap and no other .pth beside them.</summary>
    private static string[] FindShards(string directory)
    {
        string[] names;
        try
        {
            var paths = Directory.EnumerateFileSystemEntries(directory, "*.pth");
            names = [.. paths.Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        }
        catch (DirectoryNotFoundException)
        {
            throw new CheckpointException($"The checkpoint folder {directory} does not exist; give it with --ckpt-dir.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"The checkpoint folder {directory} cannot be read: {error.Message}", error);
        }

        if (names.Length == 0)
        {
            throw new CheckpointException(
                $"No checkpoint files found in {directory}; it should hold consolidated.00.pth, and one file more for each further shard.");
        }

        var expected = Enumerable.Range(0, names.Length).Select(ShardName).ToArray();
        if (names.Except(expected).FirstOrDefault(name => !IsShardName(name)) is { } other)
        {
            throw new CheckpointException(
                $"{Path.Combine(directory, other)} is no shard (consolidated.00.pth, .01.pth, ...); move it out of the folder.");
        }

        if (expected.Except(names).FirstOrDefault() is { } missing)
        {
            throw new CheckpointException(
                $"{Path.Combine(directory, missing)} is missing: the folder holds {string.Join(", ", names)}; download the missing shard.");
        }

        return [.. expected.Select(name => Path.Combine(directory, name))];
    }

    private static string ShardName(int number) => string.Create(CultureInfo.InvariantCulture, $"consolidated.{number:00}.pth");

    private static bool IsShardName(string name)
        => name.Split('.') is ["consolidated", var digits, "pth"]
            && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && name == ShardName(number);

    /// <summary>Tells of one of several files as of all.</summary>
    private sealed class PartProgress(IProgress<(long Done, long Total)> all, long before, long total) : IProgress<long>
    {
        public void Report(long value) => all.Report((before + value, total));
    }
}
