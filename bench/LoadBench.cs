using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Distributed.Engine.Checkpoints;

namespace Distributed.Bench;

/// <summary>
/// How long a folder as Hugging Face has it takes until the model can answer, beside a plain read of its headers, and the memory of each rank that is
/// no file's: a start of <c>distrun worker complete</c> that waits for its first prompt.
/// </summary>
internal static class LoadBench
{
    private const string Loaded = "Loaded in ";

    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "model", "dtype", "directory", "ranks", "rounds", "distrun");
        var folder = options.Has("model")
            ? options.Text("model", "")
            : Converted(options.Text("directory", Path.Combine(Path.GetTempPath(), "distributed-bench")), options.Text("dtype", "bf16"));
        var bytes = Directory.GetFiles(folder, "*.safetensors").Sum(Length);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}, {bytes / 1e9:F1} GB"));
        Console.WriteLine($"{"ranks",5} {"headers ms",11} {"load s",7} {"from distrun's start s",23}   anonymous MiB a rank");
        foreach (var ranks in options.Numbers("ranks", "2"))
        {
            for (var round = 0; round < options.Number("rounds", 5); round++)
            {
                var headers = ReadHeaders(folder);
                var (load, ready, memory) = Start(options.Text("distrun", EndToEndBench.Distrun), folder, ranks);
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture, $"{ranks,5} {headers.TotalMilliseconds,11:F2} {load,7:F2} {ready.TotalSeconds,23:F2}   {string.Join(" + ", memory.Select(count => count >> 20))}"));
            }
        }

        return 0;
    }

    // The 1B checkpoint of the end-to-end bench, written once.
    private static string Converted(string directory, string format)
    {
        if (BenchCheckpoint.TypeOf(format) is not null)
        {
            return BenchCheckpoint.At(directory, "1b", shardCount: 1, format);
        }

        var source = BenchCheckpoint.At(directory, "1b", shardCount: 1);
        var folder = Path.Combine(directory, "1b-hf");
        if (!Directory.Exists(folder))
        {
            Console.WriteLine($"writing {folder}");
            BenchCheckpoint.Convert(source, folder, new ConversionOptions { Layout = CheckpointLayout.HuggingFace });
        }

        return folder;
    }

    // Of what a link leads to, too.
    private static long Length(string path)
    {
        using var file = File.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }

    // The bytes that any reader has to read before it knows where a tensor lies.
    private static TimeSpan ReadHeaders(string folder)
    {
        var began = Stopwatch.GetTimestamp();
        Span<byte> length = stackalloc byte[sizeof(long)];
        foreach (var path in Directory.GetFiles(folder, "*.safetensors"))
        {
            using var file = File.OpenHandle(path);
            RandomAccess.Read(file, length, 0);
            RandomAccess.Read(file, new byte[BinaryPrimitives.ReadInt64LittleEndian(length)], sizeof(long));
        }

        return Stopwatch.GetElapsedTime(began);
    }

    private static (double Load, TimeSpan Ready, IReadOnlyList<long> Memory) Start(string distrun, string folder, int ranks)
    {
        var start = new ProcessStartInfo(distrun) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["--nproc-per-node", $"{ranks}", "worker", "complete", "--model", folder, "--max-seq-len", "512", "--max-gen-len", "1"])
        {
            start.ArgumentList.Add(argument);
        }

        var began = Stopwatch.GetTimestamp();
        using var process = Process.Start(start)!;
        var said = new StringBuilder();
        while (process.StandardError.ReadLine() is { } line)
        {
            said.AppendLine(line);
            if (line.IndexOf(Loaded, StringComparison.Ordinal) is >= 0 and var at)
            {
                var ready = Stopwatch.GetElapsedTime(began);
                var seconds = line[(at + Loaded.Length)..].Split(' ')[0];
                var memory = OperatingSystem.IsLinux() ? AnonymousByteCounts(process.Id) : [];
                process.StandardInput.WriteLine("a");
                process.StandardInput.Close();
                process.StandardError.ReadToEnd();
                process.WaitForExit();
                return (double.Parse(seconds, CultureInfo.InvariantCulture), ready, memory);
            }
        }

        throw new InvalidOperationException($"distrun ended before it had loaded the model: {said}");
    }

    // Of the ranks, which the launcher has started: its children with a RANK, in its order.
    private static IReadOnlyList<long> AnonymousByteCounts(int launcher) =>
    [
        .. Directory.GetDirectories($"/proc/{launcher}/task")
            .SelectMany(task => File.ReadAllText($"{task}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Select(child => (Id: child, Rank: RankOf(child)))
            .Where(child => child.Rank is not null)
            .OrderBy(child => child.Rank)
            .Select(child => File.ReadLines($"/proc/{child.Id}/smaps_rollup").First(line => line.StartsWith("Anonymous:", StringComparison.Ordinal)))
            .Select(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10),
    ];

    private static int? RankOf(string process) => File.ReadAllText($"/proc/{process}/environ").Split('\0')
        .Where(variable => variable.StartsWith("RANK=", StringComparison.Ordinal))
        .Select(variable => (int?)int.Parse(variable["RANK=".Length..], CultureInfo.InvariantCulture))
        .FirstOrDefault();
}
