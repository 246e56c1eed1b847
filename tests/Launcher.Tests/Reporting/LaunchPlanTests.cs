namespace Distributed.Launcher.Tests.Reporting;

public sealed class LaunchPlanTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [UnixFact]
    public async Task DryRun_PrintsThePlanAndStartsNothing()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "--dry-run", "--mesh", "tp=2", "--max-restarts", "3", "--log-dir", "logs", "touch", "started here", "${local_rank}");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.False(File.Exists(_distrun.Files["started here"]));
        Assert.False(Directory.Exists(_distrun.Files["logs"]));
        Assert.Empty(Directory.GetFileSystemEntries(_distrun.Jobs));
        Assert.Contains($"2 ranks on {System.Net.Dns.GetHostName()}, of 1 node(s); nothing is started\n", result.Output, StringComparison.Ordinal);
        Assert.Contains("restarts: 3; from SIGTERM to SIGKILL 30 s\n", result.Output, StringComparison.Ordinal);
        Assert.Contains("mesh: ranks 0-1 are tp 0-1\n", result.Output, StringComparison.Ordinal);
        Assert.Matches(@"rank 1 \(local rank 1\):\n  command: /\S*touch 'started here' 1\n  cpus: all that distrun may use\n  gpus: ", result.Output);
        Assert.Matches("(?s)rank 1 .*\n  LOCAL_RANK=1\n.*\n  MASTER_PORT=<a free one>\n.*\n  RANK=1\n.*\n  TP_RANK=1\n", result.Output);
    }

    [UnixFact]
    public async Task DryRun_OfAMistake_IsRefusedAsTheRunWouldBe()
    {
        var result = await _distrun.Run("--dry-run", "--nproc-per-node", "0", "true");
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
    }
}
