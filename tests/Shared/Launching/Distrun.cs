using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Distributed.Tests;

/// <summary>How a launch ended and what it printed.</summary>
internal sealed record LaunchResult(int ExitCode, string Output, string Error)
{
    /// <summary>The lines of stdout.</summary>
    public string[] OutputLines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>
/// A world of its own for the launches of one test: a temporary folder, and a mark in the environment of every process, so that what a launch leaves
/// behind is found, whatever it is called.
/// </summary>
internal sealed class Distrun : IDisposable
{
    private const string Mark = "DISTRUN_TEST_MARK";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan KillLimit = TimeSpan.FromSeconds(10);

    private readonly string _mark = Guid.NewGuid().ToString();
    private readonly string _program;

    /// <param name="program">The launcher, where it is not the one that was built with the tests.</param>
    public Distrun(string? program = null)
    {
        var configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory))!);
        Folder = Path.Combine(Repository.Root, "launcher", "bin", configuration, "net10.0");
        _program = program ?? Path.Combine(Folder, "distrun");
        Directory.CreateDirectory(Jobs);
    }

    /// <summary>The folder of the launcher that was built with the tests.</summary>
    public string Folder { get; }

    /// <summary>A folder for the test's files; the working directory of its launches.</summary>
    public TemporaryFolder Files { get; } = new();

    /// <summary>Variables of the launches, besides those of the test.</summary>
    public Dictionary<string, string?> Environment { get; } = [];

    /// <summary>TMPDIR of the launches.</summary>
    public string Jobs => Files["tmp"];

    /// <summary>Runs one launch to its end.</summary>
    public Task<LaunchResult> Run(params string[] arguments) => End(Start(arguments));

    /// <summary>Runs one launch to its end; <paramref name="input"/> is all that it finds on stdin.</summary>
    public async Task<LaunchResult> RunWithInput(string input, params string[] arguments)
    {
        var launch = Start(arguments);
        var end = Finish(launch);
        try
        {
            await launch.StandardInput.WriteAsync(input);
            launch.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading: how, the result says.
        }

        return await end;
    }

    /// <summary>Starts one.</summary>
    public Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(_program, arguments)
        {
            WorkingDirectory = Files.Path,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("PET_", StringComparison.Ordinal)).ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment.Remove("XDG_RUNTIME_DIR");
        start.Environment.Remove("OMP_NUM_THREADS");
        start.Environment["TMPDIR"] = Jobs;
        start.Environment[Mark] = _mark;
        foreach (var (name, value) in Environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    /// <summary>Waits for the end of one whose input is not used.</summary>
    /// <param name="launch">The launch.</param>
    /// <param name="limit">How long it may take, where that is not the usual limit.</param>
    public static async Task<LaunchResult> End(Process launch, TimeSpan? limit = null)
    {
        launch.StandardInput.Close();
        return await Finish(launch, limit);
    }

    /// <summary>Waits for the end of one whose input the test writes.</summary>
    public static async Task<LaunchResult> Finish(Process launch, TimeSpan? limit = null)
    {
        using (launch)
        {
            var output = launch.StandardOutput.ReadToEndAsync();
            var error = launch.StandardError.ReadToEndAsync();
            try
            {
                await Task.WhenAll(output, error, launch.WaitForExitAsync()).WaitAsync(limit ?? Limit);
            }
            catch (TimeoutException)
            {
                launch.Kill();
                var said = Task.WhenAll(output, error);
                await Task.WhenAny(said, Task.Delay(Limit)); // ranks that live on have its output too
                throw new TimeoutException(
                    $"distrun did not end in {(limit ?? Limit).TotalSeconds} s:\n{(said.IsCompletedSuccessfully ? string.Join('\n', said.Result) : "(its output goes on)")}");
            }

            return new LaunchResult(launch.ExitCode, await output, await error);
        }
    }

    /// <summary>The process of a rank of the only launch that runs.</summary>
    public int RankProcess(Process launch, int rank)
        => Processes().Single(id => Posix.ParentOf(id) == launch.Id
            && File.ReadAllText($"/proc/{id}/environ").Contains($"\0RANK={rank}\0", StringComparison.Ordinal));

    /// <summary>
    /// The living processes of this test's launches: the launchers, and all that they or their ranks have started. None on systems without /proc.
    /// </summary>
    public int[] Processes()
        => !Directory.Exists("/proc") ? [] : [.. Directory.EnumerateDirectories("/proc")
            .Where(IsMarked)
            .Select(path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture))
            .Where(Posix.IsAlive)];

    /// <summary>Waits until nothing of this test's launches is left: no process, no file of a job.</summary>
    public async Task AssertNothingIsLeft(TimeSpan? limit = null)
    {
        var end = Stopwatch.GetTimestamp() + (long)((limit ?? TimeSpan.FromSeconds(2)).TotalSeconds * Stopwatch.Frequency);
        while (Stopwatch.GetTimestamp() < end && (Processes().Length > 0 || JobFiles().Length > 0))
        {
            await Task.Delay(10);
        }

        Assert.Empty(Processes().Select(id => $"{id} {File.ReadAllText($"/proc/{id}/cmdline").Replace('\0', ' ')}"));
        Assert.Empty(JobFiles());
    }

    public void Dispose()
    {
        // Until the last is gone: one that was just being started is not found at once, and any may make files until it is dead.
        var start = Stopwatch.GetTimestamp();
        while (Processes() is { Length: > 0 } left && Stopwatch.GetElapsedTime(start) < KillLimit)
        {
            foreach (var id in left)
            {
                _ = Posix.Kill(id, Posix.SigKill);
            }

            Thread.Sleep(1);
        }

        Files.Dispose();
    }

    private string[] JobFiles()
        => [.. Directory.EnumerateDirectories(Jobs, "distrun-*")
            .SelectMany(folder => Directory.EnumerateFileSystemEntries(folder))
            .Where(path => Path.GetFileName(path) != "ports")]; // shared by all jobs, and empty

    private bool IsMarked(string process)
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "environ")).Contains($"{Mark}={_mark}", StringComparison.Ordinal);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
