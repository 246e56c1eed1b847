using System.Diagnostics;

namespace Distributed.EndToEnd.Tests;

/// <summary>Ranks and launchers that end in the middle of a text.</summary>
public sealed class FailureTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [LinuxTheory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Complete_RankIsKilled_IsReportedAndNothingIsLeft(int rank)
    {
        var launch = await StartGenerating();
        var rankProcess = _distrun.RankProcess(launch, rank);
        Assert.Equal(0, Posix.Kill(rankProcess, Posix.SigKill));
        var result = await Distrun.Finish(launch);

        Assert.Equal(137, result.ExitCode);
        var rootCause = result.Error[result.Error.IndexOf("Root Cause (first observed failure):", StringComparison.Ordinal)..];
        Assert.Contains($"rank      : {rank} (local_rank: {rank})", rootCause, StringComparison.Ordinal);
        Assert.Contains($"exitcode  : -9 (pid: {rankProcess})", rootCause, StringComparison.Ordinal);
        Assert.Contains($"Signal 9 (SIGKILL) received by PID {rankProcess}", rootCause, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Complete_LauncherIsTerminated_EndsTheRanksWithoutAReport()
    {
        var launch = await StartGenerating();
        Assert.Equal(0, Posix.Kill(launch.Id, Posix.SigTerm));
        var result = await Distrun.Finish(launch);

        Assert.Equal(143, result.ExitCode);
        Assert.DoesNotContain("FAILED", result.Error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    /// <summary>Starts two ranks on a text that takes minutes, and returns once it has begun to come.</summary>
    private async Task<Process> StartGenerating()
    {
        var launch = _distrun.Start(
            "--nproc-per-node", "2", "worker", "complete", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path",
            Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"), "--prompt", "Once upon a time", "--max-seq-len", "100000", "--max-gen-len",
            "None", "--stop-token-ids", "0"); // which the model never says
        launch.StandardInput.Close();
        Assert.NotEqual(0, await launch.StandardOutput.ReadAsync(new char[1]).AsTask().DefaultTimeout());
        return launch;
    }
}
