using System.Globalization;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>Restarts of the group, with real programs.</summary>
public sealed class RestartTests : IDisposable
{
    private static readonly string[] AtOnce = ["--min-uptime", "0", "--restart-backoff", "0"];

    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    // Line 61 and 37.
    [UnixFact]
    public async Task Rank_KillsItselfInTheFirstAttempt_JobSucceedsInTheSecond()
    {
        var result = await _distrun.Run(
            ["--nproc-per-node", "3", "--max-restarts", "3", .. AtOnce, "sh", "-c",
            "echo $TORCHELASTIC_RESTART_COUNT/$TORCHELASTIC_MAX_RESTARTS; [ $RANK$TORCHELASTIC_RESTART_COUNT = 10 ] && kill -KILL $$; sleep 0.3"]);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(
            ["[rank0]: 1/3", "[rank1]: 1/3", "[rank2]: 1/3"],
            result.OutputLines.Where(line => line.Contains("1/3", StringComparison.Ordinal)).Order());
        Assert.Matches(@"distrun: rank 1 failed first \(pid \d+, exitcode -9, SIGKILL\); restart 1 of the group in 0 s \(1 of 3\)\.\n", result.Error);
        Assert.DoesNotContain("FAILED", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    // Line 62.
    [UnixFact]
    public async Task Rank_AlwaysFails_RunsOnceMoreThanTheRestartsAndReportsTheLastAttempt()
    {
        var result = await _distrun.Run(
            ["--nproc-per-node", "2", "--max-restarts", "2", .. AtOnce, "sh", "-c", "[ $RANK = 0 ] || exec sleep 300; echo start >>count; exit 4$TORCHELASTIC_RESTART_COUNT"]);
        Assert.Equal(42, result.ExitCode);
        Assert.Equal(3, File.ReadAllLines(_distrun.Files["count"]).Length);
        Assert.Contains("distrun: no restart: 2 of 2 are used.\n", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Split('\n'), line => line.EndsWith(" FAILED", StringComparison.Ordinal));
        Assert.Contains("  exitcode  : 42 ", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    // Line 63.
    [UnixFact]
    public async Task Ranks_AllSucceed_NoRestartIsUsed()
    {
        var result = await _distrun.Run(["--nproc-per-node", "2", "--max-restarts", "2", .. AtOnce, "sh", "-c", "echo run"]);
        Assert.Equal((0, 2), (result.ExitCode, result.OutputLines.Length));
    }

    // Lines 67 and 68: the whole group stops before the next one starts, and each attempt has a folder and a port of its own.
    [UnixFact]
    public async Task Restart_StopsTheWholeGroupFirst_AndEveryAttemptHasItsFolder()
    {
        var result = await _distrun.Run(
            ["--nproc-per-node", "2", "--max-restarts", "1", "--log-dir", "logs", .. AtOnce, "sh", "-c",
            """
            mkdir running$RANK || exit 9
            trap 'sleep 0.3; rmdir running$RANK; exit 1' TERM
            echo "$MASTER_PORT $TORCHELASTIC_ERROR_FILE" >>rank$RANK
            [ $TORCHELASTIC_RESTART_COUNT = 1 ] && exit 0
            [ $RANK = 0 ] && { rmdir running0; exit 3; }
            while :; do sleep 0.02; done
            """]);
        Assert.Equal(0, result.ExitCode);
        for (var rank = 0; rank < 2; rank++)
        {
            var attempts = File.ReadAllLines(_distrun.Files[$"rank{rank}"]);
            Assert.Equal(2, attempts.Length);
            Assert.NotEqual(attempts[0].Split(' ')[0], attempts[1].Split(' ')[0]);
            Assert.All(attempts.Index(), attempt => Assert.EndsWith(
                string.Create(CultureInfo.InvariantCulture, $"/attempt_{attempt.Index}/{rank}/error.json"), attempt.Item, StringComparison.Ordinal));
            Assert.Single(attempts.Select(attempt => attempt.Split("/attempt_")[0].Split(' ')[1]).Distinct());
        }
    }

    [UnixFact]
    public async Task Group_FailsBeforeItWasUp_IsNotRestarted()
    {
        var result = await _distrun.Run("--max-restarts", "3", "sh", "-c", "echo run; exit 3");
        Assert.Equal((3, "run\n"), (result.ExitCode, result.Output));
        Assert.Matches(@"^distrun: no restart: the group failed \d\.\d s after its start, before it was up \(5 s\); --min-uptime 0 restarts it all the same\.\n", result.Error);
        Assert.Contains("sh FAILED", result.Error, StringComparison.Ordinal);
    }

    [UnixFact]
    public async Task Group_WasUp_IsRestarted()
    {
        var result = await _distrun.Run(
            "--max-restarts", "3", "--min-uptime", "0.3", "--restart-backoff", "0.01", "sh", "-c", "echo run; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || { sleep 0.6; exit 3; }");
        Assert.Equal((0, "run\nrun\n"), (result.ExitCode, result.Output));
        Assert.Contains("restart 1 of the group in 0.01 s (1 of 3).\n", result.Error, StringComparison.Ordinal);
    }

    [UnixFact]
    public async Task ExitCode_OfTheList_IsNotRestarted()
    {
        var result = await _distrun.Run(
            ["--max-restarts", "3", "--no-restart-exit-codes", "93,137", .. AtOnce, "sh", "-c", "echo run; [ $TORCHELASTIC_RESTART_COUNT = 0 ] && exit 5; kill -KILL $$"]);
        Assert.Equal((137, "run\nrun\n"), (result.ExitCode, result.Output));
        Assert.Contains("distrun: no restart: exit code 137 is one of --no-restart-exit-codes.\n", result.Error, StringComparison.Ordinal);
    }

    [UnixFact]
    public async Task Signal_BetweenTwoAttempts_EndsTheJobWithTheFailure()
    {
        var launch = _distrun.Start("--max-restarts", "3", "--min-uptime", "0", "--restart-backoff", "60", "sh", "-c", "exit 3");
        Assert.Contains("restart 1 of the group in 60 s", await launch.StandardError.ReadLineAsync().DefaultTimeout(), StringComparison.Ordinal);
        await Task.Delay(100);
        Assert.Equal(0, Posix.Kill(launch.Id, 15));
        var result = await Distrun.End(launch);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains("Root Cause", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    /// <summary>A signal ends a job that could be restarted.</summary>
    [UnixFact]
    public async Task Signal_WhileRanksRun_IsNoFailureToRestartAfter()
    {
        var launch = _distrun.Start(["--max-restarts", "3", .. AtOnce, "sh", "-c", "echo run; exec sleep 300"]);
        Assert.Equal("run", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.Equal(0, Posix.Kill(launch.Id, 2));
        var result = await Distrun.End(launch);
        Assert.Equal((130, "", ""), (result.ExitCode, result.Output, result.Error));
    }
}
