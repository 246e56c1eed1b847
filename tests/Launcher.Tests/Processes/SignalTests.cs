using System.Diagnostics;

namespace Distributed.Launcher.Tests.Processes;

/// <summary>Signals to the launcher.</summary>
public sealed class SignalTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [UnixTheory]
    [InlineData(1, "HUP")]
    [InlineData(2, "INT")]
    [InlineData(3, "QUIT")]
    [InlineData(15, "TERM")]
    public async Task Launcher_GetsASignal_RanksGetTheSameAndItEndsWithTheSignalsCode(int number, string name)
    {
        var launch = await Start($"trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.05; done");
        Assert.Equal(0, Posix.Kill(launch.Id, number));
        var result = await Distrun.End(launch);
        Assert.Equal(128 + number, result.ExitCode);
        Assert.Equal(["[rank0]: got " + name, "[rank1]: got " + name], result.OutputLines.Order());
        Assert.DoesNotContain("FAILED", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Launcher_GetsASecondSignal_KillsAtOnce()
    {
        var launch = await Start("trap '' INT; echo ready; while :; do sleep 0.05; done");
        var start = Stopwatch.GetTimestamp();
        Assert.Equal(0, Posix.Kill(launch.Id, 2));
        await Task.Delay(300);
        Assert.False(launch.HasExited);
        Assert.Equal(0, Posix.Kill(launch.Id, 2));
        var result = await Distrun.End(launch);
        Assert.Equal(130, result.ExitCode);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.3, 25); // and not the 30 s of grace
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Launcher_GetsASignal_StoppedRanksAreWokenToActOnIt()
    {
        var launch = await Start("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        var stopped = _distrun.Processes().Count(id => id != launch.Id && Posix.Kill(id, Posix.SigStop) == 0);
        Assert.InRange(stopped, 2, 4); // both shells, and a sleep that has not ended since
        Assert.Equal(0, Posix.Kill(launch.Id, 15));
        var result = await Distrun.End(launch);
        Assert.Equal(143, result.ExitCode);
        Assert.Equal(["[rank0]: bye", "[rank1]: bye"], result.OutputLines.Order());
    }

    /// <summary>A shell without job control starts what it puts into the background with SIGINT ignored.</summary>
    [UnixFact]
    public async Task Launcher_StartedInTheBackgroundOfAScript_HearsSigintAllTheSame()
    {
        var started = _distrun.Files["started"];
        var script = _distrun.Files.Script("script", $"\"$@\" & while [ ! -e {started} ]; do sleep 0.05; done; kill -INT $!; wait $!; echo code $?");
        using var distrun = new Distrun(script);
        var result = await distrun.Run(Path.Combine(_distrun.Folder, "distrun"), "sh", "-c", $"touch {started}; exec sleep 300");
        Assert.Equal("code 130\n", result.Output);
        await distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Launcher_UnderNohup_OutlivesTheTerminal()
    {
        var script = _distrun.Files.Script("script", "trap '' HUP; exec \"$@\"");
        using var distrun = new Distrun(script);
        var launch = distrun.Start(Path.Combine(_distrun.Folder, "distrun"), "sh", "-c", "echo ready; sleep 0.5; kill -HUP $$; echo alive");
        Assert.Equal("ready", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.Equal(0, Posix.Kill(launch.Id, 1));
        var result = await Distrun.End(launch);
        Assert.Equal((0, "alive\n"), (result.ExitCode, result.Output));
    }

    [UnixFact]
    public async Task Rank_HasFailed_SignalToTheLauncherHurriesTheEndAndKeepsTheCause()
    {
        var launch = await Start("trap '' TERM INT; echo ready; [ $RANK = 0 ] && { sleep 0.2; exit 6; }; while :; do sleep 0.05; done");
        await Task.Delay(800);
        Assert.False(launch.HasExited);
        Assert.Equal(0, Posix.Kill(launch.Id, 2));
        var result = await Distrun.End(launch);
        Assert.Equal(6, result.ExitCode);
        Assert.Contains("Root Cause", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    private async Task<Process> Start(string program)
    {
        var launch = _distrun.Start("--nproc-per-node", "2", "sh", "-c", program);
        for (var rank = 0; rank < 2; rank++)
        {
            Assert.Matches(@"^\[rank\d\]: ready$", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        }

        return launch;
    }
}
