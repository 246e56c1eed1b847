using System.Globalization;
using System.Text;

namespace Distributed.Launcher.Tests.Output;

/// <summary>What reaches the launcher's own streams.</summary>
public sealed class OutputTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [UnixFact]
    public async Task TenThousandLines_FromFourRanks_AreWholeCompleteAndInOrder()
    {
        // Lines in pieces, as a program without line buffering writes them.
        var result = await _distrun.Run(
            "--nproc-per-node", "4", "awk",
            """BEGIN { r = ENVIRON["RANK"]; for (i = 0; i < 10000; i++) { printf "rank %d ", r; if (i % 100 == 0) fflush(); printf "line %d of a longish text\n", i } }""");
        Assert.Equal(0, result.ExitCode);
        var next = new int[4];
        foreach (var line in result.OutputLines)
        {
            var rank = line[5] - '0';
            Assert.Equal($"[rank{rank}]: rank {rank} line {next[rank]++} of a longish text", line);
        }

        Assert.Equal([10000, 10000, 10000, 10000], next);
    }

    [UnixFact]
    public async Task HalfALine_WhileAnotherRankWrites_StaysWholeAndIsCompletedAtTheEnd()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "sh", "-c", "if [ $RANK = 0 ]; then printf half; sleep 0.6; printf ' and half'; else sleep 0.3; echo whole; fi");
        Assert.Equal("[rank1]: whole\n[rank0]: half and half\n", result.Output);
    }

    [UnixFact]
    public async Task OneRank_PassesThroughByteByByteAndAtOnce()
    {
        var launch = _distrun.Start("sh", "-c", "printf 'name? '; printf 'a\\377\\000b' >&2; read answer; printf \"hello $answer\"");
        var buffer = new byte[6];
        await launch.StandardOutput.BaseStream.ReadExactlyAsync(buffer).AsTask().DefaultTimeout();
        Assert.Equal("name? ", Encoding.ASCII.GetString(buffer)); // although the line is open, and the program waits for us

        // stdin is inherited, as under torchrun.
        await launch.StandardInput.WriteAsync("you\n");
        launch.StandardInput.Close();
        var error = new byte[4];
        await launch.StandardError.BaseStream.ReadExactlyAsync(error).AsTask().DefaultTimeout();
        Assert.Equal([(byte)'a', 0xff, 0, (byte)'b'], error);
        Assert.Equal("hello you", (await Distrun.Finish(launch)).Output);
    }

    [UnixTheory]
    [InlineData("--log-line-prefix-template", "<${role_name}:${local_rank}/${rank}> ${other} ", "<default:0/0> ${other} x")]
    [InlineData("--log-line-prefix-template", "", "x")]
    public async Task PrefixTemplate_IsUsed(string option, string template, string expected)
    {
        var result = await _distrun.Run("--nproc-per-node", "2", option, template, "sh", "-c", "[ $RANK != 0 ] || echo x");
        Assert.Equal([expected], result.OutputLines);
    }

    [UnixFact]
    public async Task PrefixTemplate_OfTorchrunsVariable_IsUsed()
    {
        _distrun.Environment["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] = "[${rank}@${host}] ";
        var result = await _distrun.Run("echo", "x");
        Assert.Equal($"[0@{System.Net.Dns.GetHostName()}] x\n", result.Output);
    }

    [UnixFact]
    public async Task Line_BeyondTheLimit_IsCut()
    {
        var result = await _distrun.Run("--nproc-per-node", "2", "sh", "-c", "[ $RANK = 0 ] && head -c 70000 /dev/zero | tr '\\0' x");
        Assert.Equal([9 + 65536, 9 + 70000 - 65536], result.OutputLines.Select(line => line.Length));
    }

    [UnixFact]
    public async Task StdoutsReader_IsGone_RanksFindTheirsClosed()
    {
        var launch = _distrun.Start("--nproc-per-node", "2", "sh", "-c", "while echo y; do :; done; kill -TERM $$");
        await launch.StandardOutput.ReadLineAsync().DefaultTimeout();
        launch.StandardOutput.Close();
        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(128 + 13, launch.ExitCode); // SIGPIPE, as in a shell's pipeline
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxFact]
    public async Task Stdout_IsFull_IsSaidOnce()
    {
        using var distrun = new Distrun(_distrun.Files.Script("script", "exec \"$@\" >/dev/full"));
        var result = await distrun.Run(Path.Combine(_distrun.Folder, "distrun"), "--nproc-per-node", "3", "sh", "-c", "while echo y; do :; done");
        Assert.Equal(128 + 13, result.ExitCode);
        Assert.Single(result.Error.Split('\n'), line => line == "distrun: stdout cannot be written (write: No space left on device); the ranks find theirs closed.");
    }

    [LinuxFact]
    public async Task Stderr_IsFull_TheJobGoesOn()
    {
        using var distrun = new Distrun(_distrun.Files.Script("script", "exec \"$@\" 2>/dev/full"));
        var result = await distrun.Run(Path.Combine(_distrun.Folder, "distrun"), "--nproc-per-node", "2", "sh", "-c", "head -c 300000 /dev/zero >&2; echo done");
        Assert.Equal((0, 2), (result.ExitCode, result.OutputLines.Length));
    }

    /// <summary>A console that takes nothing holds the output up, and not the end of the job.</summary>
    [UnixFact]
    public async Task Console_IsBlocked_SignalsStillEndTheJob()
    {
        var launch = _distrun.Start("--nproc-per-node", "2", "sh", "-c", "while echo y; do :; done");
        await launch.StandardOutput.ReadLineAsync().DefaultTimeout(); // and no more: the pipe fills
        while (_distrun.Processes().Length < 3)
        {
            await Task.Delay(10);
        }

        Assert.Equal(0, Posix.Kill(launch.Id, 15));
        while (_distrun.Processes().Length > 1)
        {
            await Task.Delay(10);
        }

        Assert.Equal(0, Posix.Kill(launch.Id, 15)); // The last lines wait for the console; the second signal gives them up.
        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(143, launch.ExitCode);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Output_ToAFileThatOthersAppendTo_IsNotOverwritten()
    {
        using var distrun = new Distrun(_distrun.Files.Script("script", "{ echo before; \"$@\"; echo after; } >out"));
        await distrun.Run(Path.Combine(_distrun.Folder, "distrun"), "echo", "during");
        Assert.Equal("before\nduring\nafter\n", File.ReadAllText(distrun.Files["out"]));
    }

    [LinuxFact]
    public async Task Report_ShowsTheLastLinesOfTheCulpritOnly()
    {
        var result = await _distrun.Run("--nproc-per-node", "2", "sh", "-c", "for i in $(seq 50); do echo \"$RANK says $i\" >&2; done; [ $RANK = 1 ] || exec sleep 300; sleep 0.3; printf last >&2; exit 1");
        var tail = result.Error[result.Error.IndexOf("  stderr    : ", StringComparison.Ordinal)..];
        var expected = string.Join("\n    ", Enumerable.Range(32, 19).Select(i => string.Create(CultureInfo.InvariantCulture, $"1 says {i}")).Append("last"));
        Assert.StartsWith($"  stderr    : {expected}\n====", tail, StringComparison.Ordinal);
    }
}
