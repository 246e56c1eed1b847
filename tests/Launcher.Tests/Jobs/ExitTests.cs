using System.Globalization;
using Distributed.Collectives.Hosting;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>How a job ends when its ranks do, with real programs.</summary>
public sealed class ExitTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [UnixFact]
    public async Task Ranks_AllSucceed_JobSucceedsAndRunsEachOnce()
    {
        var result = await _distrun.Run("--nnodes=1", "--nproc-per-node=4", "sh", "-c", "echo $RANK of $WORLD_SIZE");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(["[rank0]: 0 of 4", "[rank1]: 1 of 4", "[rank2]: 2 of 4", "[rank3]: 3 of 4"], result.OutputLines.Order());
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Ranks_OneSucceedsEarly_TheOthersGoOn()
    {
        var result = await _distrun.Run("--nproc-per-node", "3", "sh", "-c", "[ $RANK = 0 ] || { sleep 0.4; echo done $RANK; }");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(["[rank1]: done 1", "[rank2]: done 2"], result.OutputLines.Order());
    }

    [UnixTheory]
    [InlineData("exit 3", 3, "exitcode  : 3 ")]
    [InlineData("exit 255", 255, "exitcode  : 255 ")]
    [InlineData("kill -KILL $$", 137, "Signal 9 (SIGKILL) received by PID")]
    [InlineData("kill -SEGV $$", 139, "Signal 11 (SIGSEGV) received by PID")]
    [InlineData("kill -TERM $$", 143, "Signal 15 (SIGTERM) received by PID")]
    public async Task Rank_Fails_OthersAreStoppedAndItsCodeIsTheJobs(string end, int exitCode, string expected)
    {
        var result = await _distrun.Run("--nproc-per-node", "3", "sh", "-c", $"[ $RANK != 1 ] || {{ {end}; }}; sleep 300");
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Contains("Root Cause (first observed failure):\n[0]:\n", result.Error, StringComparison.Ordinal);
        Assert.Contains("  rank      : 1 (local_rank: 1)\n", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Contains("  <NO_OTHER_FAILURES>\n", result.Error, StringComparison.Ordinal);
        Assert.Matches(@"Stopped by distrun \(collateral\):\n  rank 0 \(pid: \d+\), exitcode -15\n  rank 2 \(pid: \d+\), exitcode -15\n", result.Error);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Rank_IgnoresSigterm_IsKilledAfterTheGracePeriod()
    {
        var start = TimeProvider.System.GetTimestamp();
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "--shutdown-timeout", "1", "sh", "-c", "[ $RANK = 0 ] && { sleep 0.2; exit 4; }; trap '' TERM; while :; do sleep 0.1; done");
        Assert.Equal(4, result.ExitCode);
        Assert.InRange(TimeProvider.System.GetElapsedTime(start).TotalSeconds, 1, 25);
        Assert.Matches(@"rank 1 \(pid: \d+\), exitcode -9\n", result.Error);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Rank_GetsSigterm_HasTheGracePeriodToTidyUp()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "--shutdown-timeout", "20", "sh", "-c",
            "[ $RANK = 0 ] && { sleep 0.3; exit 4; }; trap 'sleep 0.3; echo saved; exit 0' TERM; while :; do sleep 0.05; done");
        Assert.Equal(4, result.ExitCode);
        Assert.Equal(["[rank1]: saved"], result.OutputLines);
        Assert.Matches(@"Stopped by distrun \(collateral\):\n  rank 1 \(pid: \d+\), exitcode 0\n", result.Error);
    }

    [UnixTheory]
    [InlineData("exit 1")]
    [InlineData("exit 0")]
    [InlineData("kill -KILL $$")]
    public async Task Rank_EndsAndLeavesAGrandchild_TheGrandchildGoesToo(string end)
    {
        // The grandchild holds none of the rank's streams, so nothing but its group ties it to the job.
        var result = await _distrun.Run("sh", "-c", $"sleep 300 >/dev/null 2>&1 </dev/null & echo $!; {end}");
        var grandchild = int.Parse(result.Output, CultureInfo.InvariantCulture);
        Assert.False(Posix.IsAlive(grandchild));
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Rank_LeavesAProcessOutsideItsGroup_ItGoesTooAndHoldsNothingUp()
    {
        Assert.SkipUnless(Platform.UsesLinux, "Only Linux lets the launcher adopt what has left its group.");
        // setsid takes the grandchild out of the group, and env -i takes the job's mark; it keeps stdout open for as long as it lives.
        var start = TimeProvider.System.GetTimestamp();
        var result = await _distrun.Run("sh", "-c", "env -i setsid sh -c 'sleep 300 & echo $!; exec sleep 300' & sleep 0.3");
        Assert.Equal(0, result.ExitCode);
        Assert.False(Posix.IsAlive(int.Parse(result.Output, CultureInfo.InvariantCulture)));
        Assert.InRange(TimeProvider.System.GetElapsedTime(start).TotalSeconds, 0.3, 100);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Rank_LeavesManyProcessesThatEnd_NoneOfThemStaysAsAZombie()
    {
        var result = await _distrun.Run(
            "sh", "-c", "for i in $(seq 20); do (sleep 0.1 &) ; done; sleep 0.6; grep -s '^State:.Z' /proc/[0-9]*/status | cut -d/ -f3 | while read id; do grep -s \"^PPid:.$PPID$\" /proc/$id/status; done | wc -l");
        Assert.Equal((0, "0\n"), (result.ExitCode, result.Output));
    }

    /// <summary>A victim that says so only in its last words, and is faster than the kernel's word of the death that it saw.</summary>
    [UnixFact]
    public async Task Rank_LostItsPeer_TheRankThatDiesAMomentLaterIsTheRootCause()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "3", "sh", "-c",
            "case $RANK in 0) echo 'RuntimeError: Connection reset by peer' >&2; exit 1;; 2) sleep 0.1; kill -KILL $$;; *) sleep 300;; esac");
        Assert.Equal(137, result.ExitCode);
        Assert.Matches(@"Failures:\n\[0\]:\n(.*\n)*  rank      : 0 (.*\n)*  verdict   : victim \(connection reset by peer\)\n", result.Error);
        Assert.Matches(@"Root Cause \(first observed failure\):\n\[1\]:\n(.*\n)*  rank      : 2 (.*\n)*  verdict   : culprit\n", result.Error);
    }

    // Lines 92 and 93.
    [UnixFact]
    public async Task Launcher_HasAnErrorFileOfItsOwn_RootCausesIsCopiedUpWithItsExitCode()
    {
        _distrun.Environment["TORCHELASTIC_ERROR_FILE"] = _distrun.Files["parent.json"];
        await _distrun.Run("sh", "-c", "exit 3");
        Assert.False(File.Exists(_distrun.Files["parent.json"]));

        var result = await _distrun.Run(
            "--nproc-per-node", "2", "sh", "-c",
            """[ $RANK = 0 ] && exec sleep 300; echo '{"message":{"message":"ValueError: x","extraInfo":{"timestamp":"10"}}}' >$TORCHELASTIC_ERROR_FILE; exit 3""");
        Assert.Equal(3, result.ExitCode);
        Assert.Equal("""{"message":{"message":"ValueError: x","extraInfo":{"timestamp":"10"},"errorCode":3}}""", File.ReadAllText(_distrun.Files["parent.json"]));
    }

    [UnixFact]
    public async Task Rank_IsKilledAndAnotherFailsOverIt_TheKilledOneIsTheRootCause()
    {
        // No error file and no blame: the order of the deaths alone says it.
        var result = await _distrun.Run(
            "--nproc-per-node", "4", "sh", "-c",
            "case $RANK in 3) echo $$ >pid; exec sleep 300;; 0) until [ -s pid ]; do sleep 0.01; done; kill -KILL $(cat pid); sleep 0.05; exit 1;; *) sleep 300;; esac");
        Assert.Equal(137, result.ExitCode);
        Assert.Matches(@"Root Cause \(first observed failure\):\n\[\d\]:\n  time .*\n  host .*\n  rank      : 3 ", result.Error);
    }

    [UnixFact]
    public async Task Rank_WritesAnErrorFile_ReportShowsItsTraceback()
    {
        var result = await _distrun.Run(
            "--log-dir", "logs/new", "--rdzv-id", "run/7", "sh", "-c",
            """printf '%s' '{"message":{"message":"ValueError: x","extraInfo":{"py_callstack":"Traceback:\n  line 1\nValueError: x","timestamp":"10"}}}' >$TORCHELASTIC_ERROR_FILE; exit 1""");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("  traceback : Traceback:\n    line 1\n  ValueError: x\n", result.Error, StringComparison.Ordinal);
        var file = Assert.Single(Directory.GetFiles(_distrun.Files["logs"], "*.json", SearchOption.AllDirectories));
        Assert.Matches(@"/logs/new/run_7_[0-9a-f]{8}/attempt_0/0/error\.json$", file);
        Assert.Contains($"  error_file: {file}\n", result.Error, StringComparison.Ordinal);
    }

    [UnixTheory]
    [InlineData("echo nonsense >$TORCHELASTIC_ERROR_FILE", "(The error file was not understood: it is not JSON.)")]
    [InlineData("mkfifo $TORCHELASTIC_ERROR_FILE", "error_file: <N/A>")]
    public async Task Rank_WritesAForeignErrorFile_IsSaidAndNotFatal(string write, string expected)
    {
        var result = await _distrun.Run("sh", "-c", $"{write}; exit 9");
        Assert.Equal(9, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
    }

    [UnixFact]
    public async Task LogDir_DevNull_GivesTheRanksNoErrorFile()
    {
        var result = await _distrun.Run("--log-dir", "/dev/null", "sh", "-c", "echo \"<$TORCHELASTIC_ERROR_FILE>\"");
        Assert.Equal("<>\n", result.Output);
    }

    /// <summary>A victim that is faster than the kernel's word of the death that it blames.</summary>
    [UnixFact]
    public async Task Rank_BlamesAnotherThatFailsAMomentLater_TheOtherIsTheRootCause()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "3", "sh", "-c",
            """
            case $RANK in
              0) echo '{"message":{"message":"PeerLostException: rank 2 is gone","extraInfo":{"timestamp":"10","victim_of_rank":2}}}' >$TORCHELASTIC_ERROR_FILE; exit 75;;
              2) sleep 0.1; echo why >&2; kill -SEGV $$;;
              *) sleep 300;;
            esac
            """);
        Assert.Equal(139, result.ExitCode);
        Assert.Matches(@"Failures:\n\[0\]:\n(.*\n)*  rank      : 0 (.*\n)*  verdict   : victim of rank 2\n", result.Error);
        Assert.Matches(@"Root Cause \(first observed failure\):\n\[1\]:\n(.*\n)*  rank      : 2 (.*\n)*  stderr    : why\n", result.Error);
    }

    [UnixFact]
    public async Task Rank_BlamesAnotherThatOnlyHangs_IsTheRootCauseItself()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "sh", "-c",
            """
            [ $RANK = 1 ] && exec sleep 300
            echo '{"message":{"message":"CollectiveTimeoutException: no answer from rank 1","extraInfo":{"timestamp":"10","victim_of_rank":1}}}' >$TORCHELASTIC_ERROR_FILE
            exit 75
            """);
        Assert.Equal(75, result.ExitCode);
        Assert.Contains("  rank      : 0 (local_rank: 0)\n", result.Error, StringComparison.Ordinal);
        Assert.Matches(@"Stopped by distrun \(collateral\):\n  rank 1 \(pid: \d+\), exitcode -15\n", result.Error);
    }

    [UnixFact]
    public async Task Launches_EightAtOnce_AllSucceedWithPortsOfTheirOwn()
    {
        var results = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => _distrun.Run("--nproc-per-node", "2", "sh", "-c", "echo $MASTER_PORT; sleep 1")));
        Assert.All(results, result => Assert.Equal(0, result.ExitCode));
        Assert.Equal(8, results.Select(result => Assert.Single(result.OutputLines.Select(line => line[9..]).Distinct())).Distinct().Count());
        await _distrun.AssertNothingIsLeft();
    }
}
