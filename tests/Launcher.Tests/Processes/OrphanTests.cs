using System.Diagnostics;
using System.Globalization;

namespace Distributed.Launcher.Tests.Processes;

/// <summary>kill -9 of the launcher leaves nothing.</summary>
public sealed class OrphanTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    public static TheoryData<string> Programs => new()
    {
        "echo ready $$; exec sleep 300",
        "trap '' HUP INT TERM QUIT; echo ready $$; while :; do sleep 0.2; done",
        "sleep 300 & echo ready $!; wait", // a grandchild in the group
        "setsid sleep 300 & echo ready $!; exec sleep 300", // a grandchild outside it
    };

    [LinuxTheory]
    [MemberData(nameof(Programs))]
    public async Task Launcher_IsKilled_RanksAndTheirDescendantsGo(string program)
    {
        using var launch = await StartRanks(program);
        launch.Kill();
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Launcher_IsKilledWhileRanksAreStopped_TheyGo()
    {
        using var launch = await StartRanks("sleep 300 & echo ready $$; wait");
        foreach (var id in _distrun.Processes().Where(id => id != launch.Id))
        {
            Assert.Equal(0, Posix.Kill(id, Posix.SigStop));
        }

        launch.Kill();
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Launcher_IsKilledWhileItStartsItsRanks_NoneIsLeft()
    {
        // Times from before the first rank to after the last, over and over: some fall into posix_spawn.
        for (var run = 0; run < 12; run++)
        {
            using var launch = _distrun.Start("--nproc-per-node", "12", "sleep", "300");
            await Task.Delay(60 + (run * 8));
            launch.Kill();
            await launch.WaitForExitAsync().DefaultTimeout();
        }

        // A launcher that was killed before it had its guardian leaves its directory to the next one.
        Assert.Equal(0, (await _distrun.Run("sleep", "0.3")).ExitCode);
        await _distrun.AssertNothingIsLeft(TimeSpan.FromSeconds(3));
    }

    /// <summary>What a kill of guardian and launcher together leaves on disk, the next launcher removes; a running job's it does not touch.</summary>
    [LinuxFact]
    public async Task Launch_AfterOneThatLeftItsDirectory_RemovesIt()
    {
        using var running = await StartRanks("echo ready $$; exec sleep 300");
        var jobs = Directory.GetDirectories(Assert.Single(Directory.GetDirectories(_distrun.Jobs)));
        var alive = Assert.Single(jobs);
        var stale = Path.Combine(Path.GetDirectoryName(alive)!, "0123456789ab");
        Directory.CreateDirectory(Path.Combine(stale, "attempt_0"));
        File.WriteAllText(stale + ".lock", "");

        Assert.Equal(0, (await _distrun.Run("sleep", "0.3")).ExitCode);
        Assert.False(Path.Exists(stale));
        Assert.False(Path.Exists(stale + ".lock"));
        Assert.True(Directory.Exists(alive));
        running.Kill();
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Rank_InheritsNothingButItsThreeStreams()
    {
        using var distrun = new Distrun(_distrun.Files.Script("script", "exec 7</dev/null; exec \"$@\""));
        var result = await distrun.Run(
            Path.Combine(_distrun.Folder, "distrun"), "--nproc-per-node", "2", "sh", "-c",
            "for fd in $(seq 0 300); do [ -e /proc/$$/fd/$fd ] && printf '%s ' $fd; done; echo");
        Assert.Equal(["[rank0]: 0 1 2 ", "[rank1]: 0 1 2 "], result.OutputLines.Order());
    }

    [LinuxFact]
    public async Task Rank_Signals_AreUnblockedAndInTheirDefaults()
    {
        var result = await _distrun.Run("sed", "-n", "/^Sig[BIC]/p", "/proc/self/status");
        Assert.Equal(
            [
                "SigBlk:\t0000000000000000",
                "SigIgn:\t0000000000300000", // SIGTTIN and SIGTTOU: the terminal is not the ranks'
                "SigCgt:\t0000000000000000",
            ],
            result.OutputLines);
    }

    private async Task<Process> StartRanks(string program)
    {
        var launch = _distrun.Start("--nproc-per-node", "3", "sh", "-c", program);
        for (var rank = 0; rank < 3; rank++)
        {
            var line = await launch.StandardOutput.ReadLineAsync().DefaultTimeout();
            var id = int.Parse(line!.Split(' ')[^1], CultureInfo.InvariantCulture);
            Assert.Matches(@"^\[rank\d\]: ready \d+$", line);
            Assert.True(Posix.IsAlive(id));
        }

        return launch;
    }
}
