using System.Globalization;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A checkpoint in Meta's layout: <c>params.json</c> and <c>consolidated.00.pth</c>, <c>.01.pth</c>, one for each rank of the model. What
/// <see cref="Open"/> returns has been proved consistent: the config, the set of shards, every tensor's name, shape, type and place in
/// its file.
/// </summary>
public sealed class MetaCheckpoint : IDisposable
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

    /// <summary>The shape of the model.</summary>
    public LlamaConfig Config { get; }

    /// <summary>The number of files, and of ranks that can load them.</summary>
    public int ShardCount => _shards.Length;

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

    /// <summary>Fails where the model cannot be loaded by so many ranks, with the reference's sentence and the next step.</summary>
    /// <exception cref="CheckpointException"><paramref name="worldSize"/> is not <see cref="ShardCount"/>.</exception>
    public void RequireWorldSize(int worldSize)
    {
        if (worldSize != ShardCount)
        {
            var ranks = ShardCount == 1 ? "1 rank" : $"{ShardCount} ranks";
            throw new CheckpointException(
                $"Loading a checkpoint for MP={ShardCount} but world size is {worldSize}; start {ranks}: --nproc-per-node {ShardCount}.");
        }
    }

    /// <summary>Maps the file of a shard; the caller disposes it, before or after this.</summary>
    /// <param name="shard">0 to <see cref="ShardCount"/> - 1: the rank that loads it.</param>
    /// <exception cref="CheckpointException">The file changed since <see cref="Open"/>, or cannot be mapped.</exception>
    public MappedShard Map(int shard) => new(_files[shard], _shards[shard]);

    public void Dispose() => Array.ForEach(_files, file => file.Dispose());

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
}
