using Distributed.Collectives.Hosting;

namespace Distributed.Launcher.Tests.Hangs;

/// <summary>Ranks that publish where they are (see <see cref="TestProgram"/>), and ranks that do not.</summary>
public sealed class HangTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [LinuxFact]
    public async Task Rank_IdlesWhileAnotherWaits_IsToldOnceAndAgainBeforeTheReport()
    {
        const string Told = @"^distrun: rank 0 waits in all-reduce #2 since \d+\.\d s; rank 1 is still between #1 and #2 and has done nothing for \d+\.\d s \(pid (\d+)\)\.$";
        var launch = Start("in-operation", "idle", "1");
        var before = new List<string>();
        while (before.Count == 0 || !Matches(before[^1], Told))
        {
            before.Add(await launch.StandardError.ReadLineAsync().DefaultTimeout() ?? throw new InvalidOperationException(string.Join('\n', before)));
        }

        await Task.Delay(2500); // two more looks
        var pid = System.Text.RegularExpressions.Regex.Match(before[^1], Told).Groups[1].Value;
        Assert.Equal(0, Posix.Kill(int.Parse(pid, System.Globalization.CultureInfo.InvariantCulture), Posix.SigKill));
        var result = await Distrun.End(launch);
        Assert.Equal(137, result.ExitCode);
        var lines = result.Error.Split('\n');
        Assert.DoesNotContain(lines, line => Matches(line, Told));
        var last = Assert.Single(lines, line => Matches(line, "^distrun: before the job failed, rank 0 waits in all-reduce #2 .*rank 1 is still between #1 and #2"));
        Assert.True(Array.IndexOf(lines, last) < Array.FindIndex(lines, line => line.EndsWith(" FAILED", StringComparison.Ordinal)), result.Error);
        await _distrun.AssertNothingIsLeft();
    }

    /// <summary>A rank that computes, a leader that is idle, a program that does not say, and a user who does not want to know; all at once.</summary>
    [LinuxFact]
    public async Task Ranks_ThatDoNotHang_AreLeftAlone()
    {
        Task<LaunchResult>[] launches =
        [
            Run("in-operation", "compute-then-fail"),
            Run("awaiting-work", "idle-then-fail"),
            Run("in-operation", "idle-then-fail", "0"),
            _distrun.Run("--nproc-per-node", "2", "--hang-timeout", "1", "sh", "-c", "sleep $((4 * RANK)); exit $((3 * RANK))"),
        ];
        foreach (var result in await Task.WhenAll(launches))
        {
            Assert.Equal(3, result.ExitCode);
            Assert.DoesNotMatch("distrun: .*(waits? in|done nothing|stopped by a signal|go on)", result.Error);
        }
    }

    [LinuxFact]
    public async Task Rank_IsStopped_IsToldAndThatItGoesOn()
    {
        Assert.SkipUnless(Platform.UsesLinux, "Only /proc tells that a process is stopped.");
        var script = "[ $RANK = 0 ] && exec sleep 300; echo $$ > pid.tmp; mv pid.tmp pid; kill -STOP $$; sleep 2; exit 3";
        var launch = _distrun.Start("--nproc-per-node", "2", "sh", "-c", script);
        for (string? line = ""; line?.StartsWith("distrun: rank", StringComparison.Ordinal) == false;)
        {
            line = await launch.StandardError.ReadLineAsync().DefaultTimeout();
            Assert.True(line is not null);
            if (line.StartsWith("distrun: rank", StringComparison.Ordinal))
            {
                var pid = (await File.ReadAllTextAsync(_distrun.Files["pid"])).Trim();
                Assert.Equal($"distrun: rank 1 is stopped by a signal; kill -CONT {pid} lets it go on.", line);
                Assert.Equal(0, Posix.Kill(int.Parse(pid, System.Globalization.CultureInfo.InvariantCulture), 18));
            }
        }

        var result = await Distrun.End(launch);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains("distrun: the ranks go on, ", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("before the job failed", result.Error, StringComparison.Ordinal);
    }

    private Task<LaunchResult> Run(string first, string second, string timeout = "1") => Distrun.End(Start(first, second, timeout));

    private System.Diagnostics.Process Start(string first, string second, string timeout)
        => _distrun.Start("--nproc-per-node", "2", "--hang-timeout", timeout, "sh", "-c", $"[ $RANK = 0 ] && exec {TestProgram.Path} progress {first}; exec {TestProgram.Path} progress {second}");

    private static bool Matches(string line, string pattern) => System.Text.RegularExpressions.Regex.IsMatch(line, pattern);
}
