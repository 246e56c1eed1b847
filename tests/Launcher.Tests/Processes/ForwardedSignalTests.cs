using System.Diagnostics;
using System.Globalization;

namespace Distributed.Launcher.Tests.Processes;

/// <summary>Signals that are meant for the ranks, and the choice of those that end the job.</summary>
public sealed class ForwardedSignalTests : IDisposable
{
    private const int User1 = 10; // Linux
    private const int User2 = 12;

    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    // Line 120.
    [LinuxTheory]
    [InlineData(User1, "USR1")]
    [InlineData(User2, "USR2")]
    [InlineData(28, "WINCH")]
    [InlineData(18, "CONT")]
    public async Task Launcher_GetsASignalForTheRanks_TheyGetItAndNothingIsTornDown(int number, string name)
    {
        var launch = await Start($"trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.02; done");
        Assert.Equal(0, Posix.Kill(launch.Id, number));
        var result = await Distrun.End(launch);
        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain("distrun", result.Error, StringComparison.Ordinal);
        Assert.Equal([$"[rank0]: got {name}", $"[rank1]: got {name}"], result.OutputLines.Order());
    }

    [LinuxFact]
    public async Task Launcher_GetsCtrlZAndIsWoken_RanksStopAndGoOn()
    {
        // A shell that waits by itself: one that is just starting another program is not stopped before that program runs.
        var goal = _distrun.Files["goal"];
        var launch = await Start($"mkfifo {goal}$RANK; echo ready; read line < {goal}$RANK; echo done");
        Assert.Equal(0, Posix.Kill(launch.Id, 20));
        var ranks = Children(launch.Id, "sh");
        Assert.Equal(2, ranks.Length);
        await WaitFor(() => ranks.All(rank => StateOf(rank) == 'T'));
        Assert.Equal(0, Posix.Kill(launch.Id, 18));
        await Task.WhenAll(Enumerable.Range(0, 2).Select(rank => Task.Run(() => File.AppendAllText($"{goal}{rank}", "go\n")))).DefaultTimeout();
        var result = await Distrun.End(launch);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(["[rank0]: done", "[rank1]: done"], result.OutputLines.Order());
    }

    // Lines 70 and 74.
    [LinuxFact]
    public async Task SignalsToHandle_NamesAnother_ItEndsTheJob()
    {
        var launch = await Start("trap 'echo saved; exit 0' USR1; echo ready; while :; do sleep 0.02; done", "--signals-to-handle", "SIGUSR1,TERM");
        Assert.Equal(0, Posix.Kill(launch.Id, User1));
        var result = await Distrun.End(launch);
        Assert.Equal(128 + User1, result.ExitCode);
        Assert.Equal(["[rank0]: saved", "[rank1]: saved"], result.OutputLines.Order());
        await _distrun.AssertNothingIsLeft();
    }

    // Line 71.
    [LinuxFact]
    public async Task SignalsToHandle_NamesOneThatDoesNotExist_IsSaidAndTheJobRuns()
    {
        var result = await _distrun.Run("--signals-to-handle", "SIGTERM,SIGFOO,SIGKILL", "echo", "x");
        Assert.Equal((0, "x\n"), (result.ExitCode, result.Output));
        Assert.Equal(
            "distrun: --signals-to-handle: SIGFOO is no signal that can be handled on this system; it is passed over.\n"
            + "distrun: --signals-to-handle: SIGKILL is no signal that can be handled on this system; it is passed over.\n",
            result.Error);
    }

    private static int[] Children(int id, string name)
        => [.. File.ReadAllText($"/proc/{id}/task/{id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(child => int.Parse(child, CultureInfo.InvariantCulture))
            .Where(child => !File.ReadAllText($"/proc/{child}/cmdline").Contains("distrun-guardian", StringComparison.Ordinal)
                && File.ReadAllText($"/proc/{child}/comm").Trim() == name)];

    private static char StateOf(int id) => File.ReadAllText($"/proc/{id}/stat") is var stat ? stat[stat.LastIndexOf(')') + 2] : '?';

    private static async Task WaitFor(Func<bool> condition)
    {
        var start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 20);
            await Task.Delay(10);
        }
    }

    private async Task<Process> Start(string program, params string[] options)
    {
        _distrun.Environment["OMP_NUM_THREADS"] = "1";
        var launch = _distrun.Start([.. options, "--nproc-per-node", "2", "sh", "-c", program]);
        for (var rank = 0; rank < 2; rank++)
        {
            Assert.Matches(@"^\[rank\d\]: ready$", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        }

        return launch;
    }
}
