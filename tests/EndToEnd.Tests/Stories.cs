using System.Text.Json;

namespace Distributed.EndToEnd.Tests;

/// <summary>Launches of the worker on ../shared/data/stories260k, which is there in one, two and four shards.</summary>
internal static class Stories
{
    public static string Tokenizer => Path.Combine(Folder, "tokenizer.model");

    private static string Folder => Path.Combine(Repository.SharedData, "stories260k");

    /// <summary>The checkpoint in <paramref name="shardCount"/> shards.</summary>
    public static string Checkpoint(int shardCount) => Path.Combine(Folder, $"mp{shardCount}");

    /// <summary>The reference's outputs.</summary>
    public static GoldenCase[] Golden() => GoldenCase.Read(Path.Combine(Folder, "golden", "float32.json"));

    /// <summary>Runs <c>worker complete --format json</c> on prompts that a file of JSON lines hands over.</summary>
    public static async Task<LaunchResult> Complete(
        this Distrun distrun, int worldSize, IEnumerable<string> prompts, params string[] options)
    {
        var file = distrun.Files["prompts.jsonl"];
        await File.WriteAllLinesAsync(file, prompts.Select(prompt => JsonSerializer.Serialize(new { prompt })));
        return await distrun.Run(
        [
            "--nproc-per-node", $"{worldSize}", "worker", "complete", "--ckpt-dir", Checkpoint(worldSize), "--tokenizer-path", Tokenizer,
            "--max-seq-len", "256", "--prompts-file", file, "--format", "json", .. options,
        ]);
    }
}
