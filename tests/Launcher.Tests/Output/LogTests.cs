namespace Distributed.Launcher.Tests.Output;

/// <summary>The files of the ranks, and what the console shows beside them.</summary>
public sealed class LogTests : IDisposable
{
    private const string Program = "echo out$RANK; echo err$RANK >&2";

    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    // Line 83 and item "files always available": with a folder both streams of every rank are there, whatever the console shows.
    [UnixFact]
    public async Task LogDir_OfSeveralLevels_IsMadeAndHasBothStreams()
    {
        var result = await Run("--log-dir", "a/b");
        Assert.Equal(["[rank0]: out0", "[rank1]: out1"], result.OutputLines.Order());
        Assert.Equal(("out1\n", "err1\n"), (Log("a/b", "1/stdout.log"), Log("a/b", "1/stderr.log")));
    }

    // Line 79.
    [UnixTheory]
    [InlineData("0", 2, 2)]
    [InlineData("1", 0, 2)]
    [InlineData("2", 2, 0)]
    [InlineData("3", 0, 0)]
    public async Task Redirects_OfAllRanks_GoToTheFilesAndNotToTheConsole(string redirects, int shownOut, int shownError)
    {
        var result = await Run("--log-dir", "logs", "-r", redirects);
        Assert.Equal((shownOut, shownError), (result.OutputLines.Length, result.Error.Split('\n').Count(line => line.Contains("err", StringComparison.Ordinal))));
        Assert.Equal(("out0\n", "err0\n"), (Log("logs", "0/stdout.log"), Log("logs", "0/stderr.log")));
    }

    // Lines 80 and 22: without a folder of the user's, only what is asked for has a file, in a folder that is said.
    [UnixFact]
    public async Task RedirectsAndTee_OfEachRankItsOwn_MakeTheFilesThatAreAskedFor()
    {
        var result = await Run("--redirects", "0:2,1:0", "--tee=0:1,1:2");
        var folder = _distrun.Files[result.Error.Split('\n').Single(line => line.StartsWith("distrun: logs are kept in ", StringComparison.Ordinal))[26..^1]];
        Assert.Equal(
            ["0/stderr.log", "0/stdout.log", "1/stderr.log"],
            Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Select(path => path.Split("/attempt_0/")[1]).Order());
        Assert.StartsWith(_distrun.Jobs, folder, StringComparison.Ordinal);

        // Line 81: a teed line has torchrun's prefix.
        Assert.Equal(["[default0]:out0", "[rank1]: out1"], result.OutputLines.Order());
        Assert.Contains("[default1]:err1\n", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("err0", result.Error, StringComparison.Ordinal);
    }

    // Lines 84 and 85.
    [UnixFact]
    public async Task LocalRanksFilter_HidesTheOthersOnTheConsoleOnly()
    {
        var result = await Run("--local-ranks-filter", "0", "--tee", "3", "--log-dir", "logs");
        Assert.Equal(["[default0]:out0"], result.OutputLines);
        Assert.DoesNotContain("err1", result.Error, StringComparison.Ordinal);
        Assert.Equal(("out1\n", "err1\n"), (Log("logs", "1/stdout.log"), Log("logs", "1/stderr.log")));
        Assert.Equal(["[rank1]: out1"], (await Run("--local-ranks-filter=1")).OutputLines);
    }

    // L8.
    [UnixFact]
    public async Task Culprit_IsHiddenOrRedirected_ItsLastLinesAreInTheReport()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "--local-ranks-filter", "0", "-r", "2", "--log-dir", "logs", "sh", "-c", "[ $RANK = 0 ] && exec sleep 300; echo why >&2; exit 5");
        Assert.Equal(5, result.ExitCode);
        Assert.Contains("  verdict   : culprit\n  stderr    : why\n", result.Error, StringComparison.Ordinal);
    }

    // Lines 87 and 23.
    [UnixFact]
    public async Task DuplicateFilters_CopyTheLinesOfAllRanksThatMatch()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "--log-dir", "logs", "--duplicate-stdout-filters", "apple,a,,b", "--duplicate_stderr_filters", "rank", "sh", "-c",
            "echo an apple $RANK; echo a pear; echo a,b; echo rank >&2; echo other >&2");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(
            ["[rank0]: a,b", "[rank0]: an apple 0", "[rank1]: a,b", "[rank1]: an apple 1"],
            Log("logs", "filtered_stdout.log").Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
        Assert.Equal(
            ["[rank0]: rank", "[rank1]: rank"], Log("logs", "filtered_stderr.log").Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        Assert.Equal(6, result.OutputLines.Length);
    }

    [UnixFact]
    public async Task LogMaxSize_BoundsTheFile()
    {
        var result = await _distrun.Run(
            "--log-dir", "logs", "--log-max-size", "4K", "-r", "1", "sh", "-c", "seq 3000");
        Assert.Equal((0, ""), (result.ExitCode, result.Output));
        var last = Log("logs", "0/stdout.log.1") + Log("logs", "0/stdout.log");
        Assert.EndsWith("\n2999\n3000\n", last, StringComparison.Ordinal);
        Assert.InRange(last.Length, 4097, 8192);
    }

    [LinuxFact]
    public async Task Fold_LinesOfSeveralRanks_AreOne()
    {
        // One rank writes into the streams of all, so that the lines come together however busy the machine is.
        const string program = """
            echo $$ > starting$RANK; mv starting$RANK started$RANK
            if [ $RANK = 3 ]; then
                until [ -f started0 ] && [ -f started1 ] && [ -f started2 ]; do sleep 0.01; done
                for rank in 0 1 2 3; do read id < started$rank; echo same > /proc/$id/fd/1; done
                read id < started2; echo other > /proc/$id/fd/1
                : > told
            fi
            until [ -f told ]; do sleep 0.01; done
            """;
        var result = await _distrun.Run("--nproc-per-node", "4", "--fold", "sh", "-c", program);
        Assert.Equal(["[rank0-3]: same", "[rank2]: other"], result.OutputLines);
    }

    [UnixFact]
    public async Task Color_IsGivenWhenAskedForOnly()
    {
        Assert.Equal(["\e[36m[rank0]: \e[0mout0", "\e[33m[rank1]: \e[0mout1"], (await Run("--color", "always")).OutputLines.OrderBy(line => line[^1]));
        Assert.Equal(["[rank0]: out0", "[rank1]: out1"], (await Run()).OutputLines.Order());
    }

    // Line 85: what nobody sees does not hold a rank up.
    [UnixFact]
    public async Task Output_ThatIsNotShown_IsReadAllTheSame()
    {
        var result = await _distrun.Run("--nproc-per-node", "2", "--local-ranks-filter", "0", "sh", "-c", "[ $RANK = 0 ] || head -c 1000000 /dev/zero; echo done");
        Assert.Equal((0, "[rank0]: done\n"), (result.ExitCode, result.Output));
    }

    // Line 83.
    [UnixFact]
    public async Task LogDir_ThatCannotBeMade_IsSaid()
    {
        var result = await Run("--log-dir", "/proc/none");
        Assert.Equal(1, result.ExitCode);
        Assert.Matches(@"^distrun: The folder /proc/none/none_\w+/attempt_0 for logs cannot be made \(.*\); name another one with --log-dir\.\n$", result.Error);
    }

    private Task<LaunchResult> Run(params string[] options)
    {
        _distrun.Environment["OMP_NUM_THREADS"] = "1";
        return _distrun.Run([.. options, "--nproc-per-node", "2", "sh", "-c", Program]);
    }

    private string Log(string folder, string name)
        => File.ReadAllText(Path.Combine(Assert.Single(Directory.GetDirectories(_distrun.Files[folder])), "attempt_0", name));
}
