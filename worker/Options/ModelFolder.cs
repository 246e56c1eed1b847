namespace Distributed.Worker.Options;

/// <summary>What <c>--model</c> names: a folder with a checkpoint and its tokenizer.</summary>
internal static class ModelFolder
{
    private static readonly string[] TokenizerNames = ["tokenizer.json", "tokenizer.model"];

    /// <summary>The folder's tokenizer; <see langword="null"/>, with a sentence in <paramref name="problems"/>, where it has none.</summary>
    public static string? FindTokenizer(string folder, List<string> problems)
    {
        if (!Directory.Exists(folder))
        {
            return null; // said by whoever opens the checkpoint
        }

        var path = TokenizerNames.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        if (path is null)
        {
            problems.Add($"{folder} holds no {string.Join(" or ", TokenizerNames)}; name the model's tokenizer with --tokenizer-path.");
        }

        return path;
    }
}
