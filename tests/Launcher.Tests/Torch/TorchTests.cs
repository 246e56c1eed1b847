using System.Diagnostics;

namespace Distributed.Launcher.Tests.Torch;

/// <summary>PyTorch programs run unchanged. Debian's python3-torch is for /usr/bin/python3, whatever other Python is first on the PATH.</summary>
public sealed class TorchTests : IDisposable
{
    private static readonly string Program = Path.Combine(Repository.Root, "tests", "Launcher.Tests", "Torch", "job.py");

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90); // A process takes a second of a whole core to import torch.

    private readonly Distrun _distrun = new();

    public TorchTests()
    {
        _distrun.Environment["PYTHON_EXEC"] = DebianTorch.Python;
        _distrun.Environment["OMP_NUM_THREADS"] = "1";
    }

    public void Dispose() => _distrun.Dispose();

    /// <summary>Rank 0 hosts torch's store at MASTER_ADDR:MASTER_PORT (TORCHELASTIC_USE_AGENT_STORE is False), whichever way the program asks for it.</summary>
    [TorchTheory]
    [InlineData("env")]
    [InlineData("tcp")]
    [InlineData("store")]
    public async Task AllReduceAndDataParallelStep_OnTwoRanks_Succeed(string method)
    {
        _distrun.Environment["JOB_INIT"] = method;
        var result = await Distrun.End(_distrun.Start("--nproc-per-node", "2", Program, _distrun.Files.Path), Limit);
        Assert.True(result.ExitCode == 0, result.Error);
        var results = Results("*.attempt0");
        Assert.Equal(2, results.Length);
        Assert.Equal(results[0], results[1]);

        // Twice 0 + 1 + 2 + 3, and 0 + 1 for each of the four.
        Assert.StartsWith("sum 16.0 weights ", results[0], StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [TorchFact]
    public async Task Rank_KilledOnce_GroupIsStartedAgainAndSucceeds()
    {
        var launch = _distrun.Start("--nproc-per-node", "2", "--max-restarts", "1", "--min-uptime", "0", Program, _distrun.Files.Path, "1");
        var result = await Distrun.End(launch, Limit);
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Contains("distrun: rank 1 failed first (", result.Error, StringComparison.Ordinal);
        Assert.Empty(Results("*.attempt0"));
        Assert.Equal(2, Results("*.attempt1").Length);
        await _distrun.AssertNothingIsLeft();
    }

    private string[] Results(string pattern) => [.. Directory.GetFiles(_distrun.Files.Path, pattern).Select(File.ReadAllText)];
}

/// <summary>A fact that needs Debian's python3-torch.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class TorchFactAttribute : FactAttribute
{
    public TorchFactAttribute() => Skip = DebianTorch.SkipReason;
}

/// <summary>A theory that needs Debian's python3-torch.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class TorchTheoryAttribute : TheoryAttribute
{
    public TorchTheoryAttribute() => Skip = DebianTorch.SkipReason;
}

/// <summary>Debian's python3-torch.</summary>
internal static class DebianTorch
{
    public const string Python = "/usr/bin/python3";

    private static readonly Lazy<bool> IsPresent = new(static () =>
    {
        if (!OperatingSystem.IsLinux() || !File.Exists(Python))
        {
            return false;
        }

        // Asks where it is without importing it, which takes seconds.
        using var probe = Process.Start(Python, ["-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"]);
        return probe.WaitForExit(TimeSpan.FromSeconds(20)) && probe.ExitCode == 0;
    });

    /// <summary>Why tests with torch cannot run; <see langword="null"/> where they can.</summary>
    public static string? SkipReason => IsPresent.Value ? null : $"{Python} has no torch (Debian: python3-torch).";
}
