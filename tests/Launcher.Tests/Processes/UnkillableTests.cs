using System.Globalization;

namespace Distributed.Launcher.Tests.Processes;

/// <summary>A rank that SIGKILL does not end: a frozen one, as one that waits for a dead disk or GPU would be.</summary>
public sealed class UnkillableTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [FreezerFact]
    public async Task Rank_CannotBeKilled_LauncherLeavesItBehindAndNamesIt()
    {
        using var freezer = new Freezer();
        var frozen = _distrun.Files["frozen"];
        var program = $"""
            if test $LOCAL_RANK = 1; then echo $$ > {freezer.Members}; echo ready $$; exec sleep 300; fi
            while ! test -f {frozen}; do sleep 0.01; done; exit 7
            """;
        using var launch = _distrun.Start("--nproc-per-node", "2", "--shutdown-timeout", "1", "sh", "-c", program);
        var ready = await launch.StandardOutput.ReadLineAsync().DefaultTimeout();
        Assert.StartsWith("[rank1]: ready ", ready, StringComparison.Ordinal);
        var id = int.Parse(ready!.Split(' ')[^1], CultureInfo.InvariantCulture);
        freezer.Freeze();
        await File.WriteAllTextAsync(frozen, "");

        var result = await Distrun.End(launch);
        Assert.Equal(7, result.ExitCode);
        Assert.Contains($"rank 1 (pid {id}) does not end although it was killed; it is left behind.", result.Error, StringComparison.Ordinal);
        Assert.True(Directory.Exists($"/proc/{id}"));

        freezer.Thaw();
        await _distrun.AssertNothingIsLeft();
    }
}

/// <summary>A fact that needs root and the freezer of cgroup v1; that of v2 lets SIGKILL through.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FreezerFactAttribute : FactAttribute
{
    public FreezerFactAttribute() => Skip = Freezer.IsPresent ? null : "Needs root and the freezer of cgroup v1 at /sys/fs/cgroup/freezer.";
}

/// <summary>A group of processes that can be frozen.</summary>
internal sealed class Freezer : IDisposable
{
    private const string Root = "/sys/fs/cgroup/freezer";

    private readonly string _folder = Directory.CreateDirectory(Path.Combine(Root, $"test-{Guid.NewGuid():N}")).FullName;

    public static bool IsPresent => OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess && File.Exists($"{Root}/cgroup.procs");

    /// <summary>The file that a process writes its id to.</summary>
    public string Members => Path.Combine(_folder, "cgroup.procs");

    public void Freeze() => SetState("FROZEN");

    public void Thaw() => SetState("THAWED");

    public void Dispose()
    {
        Thaw();
        for (var attempt = 0; attempt < 100; attempt++)
        {
            try
            {
                Directory.Delete(_folder); // rmdir(2): the files in it are no files
                return;
            }
            catch (IOException) when (attempt < 99)
            {
                Thread.Sleep(50); // its processes are about to end
            }
        }
    }

    private void SetState(string state) => File.WriteAllText(Path.Combine(_folder, "freezer.state"), state);
}
