using System.Globalization;
using System.Text.RegularExpressions;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>A rank that outlives the attempts of its group, with a program of the test's in the worker's place (<see cref="TestProgram"/>).</summary>
public sealed partial class OutlivingRankTests : IClassFixture<BundledWorkerTests.Copy>, IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly BundledWorkerTests.Copy _copy;
    private readonly Distrun _distrun;

    public OutlivingRankTests(BundledWorkerTests.Copy copy)
    {
        ArgumentNullException.ThrowIfNull(copy);
        _copy = copy;
        _distrun = new Distrun(copy.Program);
    }

    public void Dispose() => _distrun.Dispose();

    [LinuxFact]
    public async Task Rank_OutlivesTwoAttempts_JoinsTheThirdAndKeepsItsOutput()
    {
        var result = await Run("outlive 2 lives", "--max-restarts", "2", "--restart-backoff", "0");
        Assert.True(result.ExitCode == 0, result.Error);
        var attempts = AttemptsOf(result.Error);
        Assert.Equal(["0", "1", "2"], attempts.Where(line => line.Rank == "0").Select(line => line.Attempt));
        Assert.Single(attempts.Where(line => line.Rank == "0").Select(line => line.Id).Distinct());
        Assert.Equal(3, attempts.Where(line => line.Rank == "2").Select(line => line.Id).Distinct().Count());
        Assert.Equal(["[rank0]: sum 3", "[rank1]: sum 3", "[rank2]: sum 3"], result.Error.Split('\n').Where(line => line.Contains(": sum ", StringComparison.Ordinal)).Order());
        Assert.Contains("restart 2 of the group in 0 s (2 of 2); rank 0 goes on.", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    /// <summary>No process ends by itself but rank 2, which may come first: the rank that lives on has lost the one that stands still, and says so.</summary>
    [LinuxFact]
    public async Task Rank_LosesOneThatIsStopped_TheGroupIsStartedAnew()
    {
        var result = await Run("outlive 1 stops", "--max-restarts", "1", "--restart-backoff", "0");
        Assert.True(result.ExitCode == 0, result.Error);
        var attempts = AttemptsOf(result.Error);
        Assert.Single(attempts.Where(line => line.Rank == "0").Select(line => line.Id).Distinct());
        Assert.Equal(2, attempts.Where(line => line.Rank == "1").Select(line => line.Id).Distinct().Count());
        Assert.Matches(@"\ndistrun: rank (1 failed first \(pid \d+, exitcode -?\d+: .*rank 1 has said nothing for .*|2 failed first \(.*)\); restart 1 of the group in 0 s \(1 of 1\); rank 0 goes on\.\n", result.Error);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Restarts_AreUsedUp_TheRankIsEndedToo()
    {
        var result = await Run("outlive 2 lives", "--max-restarts", "1", "--restart-backoff", "0");
        Assert.Equal(137, result.ExitCode);
        Assert.Contains("distrun: no restart: 1 of 1 are used.", result.Error, StringComparison.Ordinal);
        Assert.Contains("  rank      : 1 (local_rank: 1)", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task NoRestarts_NobodyIsSpared()
    {
        var result = await Run("outlive 1 lives");
        Assert.Equal(137, result.ExitCode);
        Assert.Contains("Stopped by distrun (collateral):", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Rank_DiesBetweenTwoAttempts_IsStartedAnew()
    {
        var result = await Run("outlive 1 dies", "--max-restarts", "1", "--restart-backoff", "1");
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(2, AttemptsOf(result.Error).Where(line => line.Rank == "0").Select(line => line.Id).Distinct().Count());
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Launcher_IsStoppedBetweenTwoAttempts_TheRankEnds()
    {
        var launch = Start("outlive 1 lives", "--max-restarts", "1", "--restart-backoff", "30");
        while (await launch.StandardError.ReadLineAsync().WaitAsync(Limit) is { } line && !line.Contains("goes on", StringComparison.Ordinal))
        {
        }

        Assert.Equal(0, Posix.Kill(launch.Id, 15));
        Assert.Equal(137, (await Distrun.End(launch)).ExitCode);
        await _distrun.AssertNothingIsLeft();
    }

    private Task<LaunchResult> Run(string program, params string[] options) => Distrun.End(Start(program, options), Limit);

    private System.Diagnostics.Process Start(string program, params string[] options)
    {
        _copy.Worker($"[ -z \"$DISTRUN_PREFLIGHT\" ] || exit 0\nexec {TestProgram.Path} {program}");
        return _distrun.Start(["--nproc-per-node", "3", "--min-uptime", "0", .. options, "worker"]);
    }

    private static (string Rank, string Attempt, int Id)[] AttemptsOf(string text)
        => [.. AttemptLine().Matches(text).Select(match => (match.Groups[1].Value, match.Groups[2].Value, int.Parse(match.Groups[3].ValueSpan, CultureInfo.InvariantCulture)))];

    [GeneratedRegex(@"^\[rank(\d)\]: attempt (\d) pid (\d+)$", RegexOptions.Multiline)]
    private static partial Regex AttemptLine();
}
