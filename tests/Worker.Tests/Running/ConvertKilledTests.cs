using System.Diagnostics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Worker.Tests.Running;

/// <summary>A conversion whose process is killed, and the next one.</summary>
public sealed class ConvertKilledTests : IDisposable
{
    private const int ShardCount = 32;
    private const string Parameters = """{"dim": 512, "n_layers": 4, "n_heads": 32, "vocab_size": 1024, "multiple_of": 2048, "norm_eps": 1e-5}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Convert_KilledMidway_GoesOnAndGivesTheSame()
    {
        var source = Path.Combine(_folder.Path, "source");
        WriteSource(source);
        var output = await KillMidwayAsync(source);
        Assert.False(Directory.Exists(output));

        var resumed = await WorkerProgram.RunAsync(Arguments(source, output));
        var whole = await WorkerProgram.RunAsync(Arguments(source, Path.Combine(_folder.Path, "whole")));

        Assert.Equal((0, 0), (resumed.ExitCode, whole.ExitCode));
        Assert.Contains("file(s) that an interrupted conversion had finished are what this one would write", resumed.Error, StringComparison.Ordinal);
        var names = Directory.GetFileSystemEntries(Path.Combine(_folder.Path, "whole")).Select(path => Path.GetFileName(path)).Order().ToArray();
        Assert.Equal(ShardCount + 1, names.Length);
        Assert.Equal(names, Directory.GetFileSystemEntries(output).Select(path => Path.GetFileName(path)).Order());
        Assert.All(names, name => Assert.True(
            File.ReadAllBytes(Path.Combine(_folder.Path, "whole", name)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(output, name)))));
    }

    // The output of a conversion that died with some of its files finished. A machine may be so fast that one ends before: then again.
    private async Task<string> KillMidwayAsync(string source)
    {
        for (var attempt = 0; attempt < 20; attempt++)
        {
            var output = Path.Combine(_folder.Path, $"out-{attempt}");
            var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "worker"), Arguments(source, output))
            {
                RedirectStandardError = true,
            };
            using var process = Process.Start(start)!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            while (!process.HasExited && !Directory.Exists(output) && Finished(output) < 2)
            {
                Thread.Yield();
            }

            process.Kill();
            await process.WaitForExitAsync().DefaultTimeout();
            if (!Directory.Exists(output) && Finished(output) is >= 2 and < ShardCount)
            {
                return output;
            }

            Directory.Delete(Directory.Exists(output) ? output : $"{output}.partial", recursive: true);
        }

        throw new InvalidOperationException("20 conversions ended before they could be killed.");
    }

    private static int Finished(string output)
        => Directory.Exists($"{output}.partial") ? Directory.GetFiles($"{output}.partial", "*.pth").Length : 0;

    private static string[] Arguments(string source, string output)
        => ["convert", "--model", source, "--output", output, "--layout", "meta", "--shards", $"{ShardCount}"];

    private static void WriteSource(string folder)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "params.json"), Parameters);
        var tensors = new List<ShardTensor> { Tensor("tok_embeddings.weight", 1024, 512) };
        for (var layer = 0; layer < 4; layer++)
        {
            tensors.Add(Tensor($"layers.{layer}.attention_norm.weight", 512));
            tensors.AddRange(new[] { "wq", "wk", "wv", "wo" }.Select(name => Tensor($"layers.{layer}.attention.{name}.weight", 512, 512)));
            tensors.Add(Tensor($"layers.{layer}.ffn_norm.weight", 512));
            tensors.AddRange(new[] { "w1", "w3" }.Select(name => Tensor($"layers.{layer}.feed_forward.{name}.weight", 2048, 512)));
            tensors.Add(Tensor($"layers.{layer}.feed_forward.w2.weight", 512, 2048));
        }

        tensors.AddRange([Tensor("norm.weight", 512), Tensor("output.weight", 1024, 512)]);
        MetaShardWriter.Write(Path.Combine(folder, "consolidated.00.pth"), tensors, CancellationToken.None);
    }

    private static ShardTensor Tensor(string name, params long[] shape) => new(name, TensorType.Float32, [.. shape], (offset, destination) =>
    {
        for (var i = 0; i < destination.Length; i++)
        {
            destination[i] = (byte)(((offset + i) * 7 % 251) & 0x3F); // finite
        }
    });
}
