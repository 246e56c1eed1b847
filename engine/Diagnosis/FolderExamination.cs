using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// Opens a checkpoint. Where that fails the reason is the first one; the files are then looked at one by one, so that a user who has to
/// download some of them again hears of all.
/// </summary>
internal static class FolderExamination
{
    // What other programs call weights, with what to do about it.
    private static readonly (string Pattern, string Advice)[] Foreign =
    [
        ("*.gguf", "GGUF files are llama.cpp's; take the files of Meta or Hugging Face that they were made of"),
        ("pytorch_model*.bin", "weights in pickles of Hugging Face's older form are not read; save the model again with safe_serialization"),
        ("*.npz", "weights of MLX or NumPy are not read; take the safetensors files that they were made of"),
        ("*.safetensors.part*", "a download is not complete; let it finish"),
        ("*.incomplete", "a download is not complete; let it finish"),
    ];

    /// <summary>Opens the folder's checkpoint; <see langword="null"/>, with at least one error among the findings, where it cannot be.</summary>
    public static CheckpointSource? Open(string directory, List<Finding> findings)
    {
        CheckpointException first;
        try
        {
            return CheckpointFolder.Open(directory, tokenizerVocabularySize: null);
        }
        catch (CheckpointException error)
        {
            first = error;
        }

        findings.Add(Finding.Error(first.Message));
        try
        {
            AddOthers(directory, first.Message, findings);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The folder cannot be read, which has been said.
        }

        return null;
    }

    private static void AddOthers(string directory, string first, List<Finding> findings)
    {
        var others = Foreign
            .Select(kind => (Path: Directory.EnumerateFiles(directory, kind.Pattern).Min(StringComparer.Ordinal), kind.Advice))
            .Where(found => found.Path is not null)
            .Select(found => $"{found.Path} is there: {found.Advice}.");
        findings.AddRange(
            Problems(directory).Concat(others).Distinct(StringComparer.Ordinal).Where(problem => problem != first).Select(Finding.Error));
    }

    private static IEnumerable<string> Problems(string directory)
    {
        var shards = Directory.EnumerateFiles(directory, "*.pth").Order(StringComparer.Ordinal).ToArray();
        var parameters = Path.Combine(directory, "params.json");
        var config = Path.Combine(directory, "config.json");
        Action?[] checks =
        [
            shards.Length > 0 || File.Exists(parameters) ? () => LlamaParameters.Read(parameters) : null,
            shards.Length == 0 && File.Exists(config) ? () => HuggingFaceConfig.Read(config) : null,
            .. shards.Select(path => (Action)(() => ReadShard(path))),
            .. shards.Length > 0 || !File.Exists(config) ? [] : HuggingFaceFiles(directory),
        ];
        return checks.OfType<Action>().Select(Problem).OfType<string>();
    }

    private static Action[] HuggingFaceFiles(string directory)
    {
        string[] paths;
        try
        {
            paths = [.. HuggingFaceCheckpoint.FileNames(directory).Select(name => Path.Combine(directory, name))];
        }
        catch (CheckpointException error)
        {
            return [() => throw error];
        }

        return [.. paths.Select(path => (Action)(() =>
        {
            using var file = ShardFile.Open(path);
            SafetensorsIndex.Read(file);
        }))];
    }

    private static void ReadShard(string path)
    {
        using var file = ShardFile.Open(path);
        ShardIndex.Read(file);
    }

    private static string? Problem(Action check)
    {
        try
        {
            check();
            return null;
        }
        catch (CheckpointException error)
        {
            return error.Message;
        }
    }
}
