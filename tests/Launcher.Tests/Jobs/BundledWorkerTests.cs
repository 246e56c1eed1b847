namespace Distributed.Launcher.Tests.Jobs;

/// <summary>
/// What the launcher does for the worker that comes with it (preflight, envelope, results on stdout), with a copy of the launcher that has a program of the
/// test's in the worker's place.
/// </summary>
public sealed class BundledWorkerTests : IClassFixture<BundledWorkerTests.Copy>, IDisposable
{
    private const string NoPreflight = "[ -z \"$DISTRUN_PREFLIGHT\" ] || exit 0\n";

    private readonly Copy _copy;
    private readonly Distrun _distrun;

    public BundledWorkerTests(Copy copy)
    {
        ArgumentNullException.ThrowIfNull(copy);
        _copy = copy;
        _distrun = new Distrun(copy.Program);
    }

    public void Dispose() => _distrun.Dispose();

    [UnixFact]
    public async Task Preflight_Refuses_NothingIsStartedAndItsSentenceIsAllThatIsSaid()
    {
        _copy.Worker("[ -n \"$DISTRUN_PREFLIGHT\" ] || { echo started; exit 0; }\necho \"checked $* $WORLD_SIZE ${RANK-no rank} $(cat)\" >&2; exit 2");
        _distrun.Environment["RANK"] = "4";
        var result = await _distrun.Run("--nproc-per-node", "3", "worker", "complete", "--prompt", "a b");
        Assert.Equal((2, "", "checked complete --prompt a b 3 no rank \n"), (result.ExitCode, result.Output, result.Error));
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Preflight_Crashes_IsSaid()
    {
        _copy.Worker("kill -ABRT $$");
        var result = await _distrun.Run("--nproc-per-node", "2", "worker");
        Assert.Equal((134, "distrun: The worker that checks the input before any rank is started failed (exitcode -6).\n"), (result.ExitCode, result.Error));
    }

    /// <summary>worker --help is answered once, and not by every rank.</summary>
    [UnixFact]
    public async Task Preflight_AnswersByItself_NothingElseIsStarted()
    {
        _copy.Worker("echo \"help ${RANK-preflight}\"");
        var result = await _distrun.Run("--nproc-per-node", "2", "worker", "--help");
        Assert.Equal((0, "help preflight\n", ""), (result.ExitCode, result.Output, result.Error));
    }

    [UnixFact]
    public async Task Preflight_Hangs_SignalEndsIt()
    {
        _copy.Worker("echo checking >&2; exec sleep 300");
        var launch = _distrun.Start("--nproc-per-node", "2", "worker");
        Assert.Equal("checking", await launch.StandardError.ReadLineAsync().DefaultTimeout());
        Assert.Equal(0, Posix.Kill(launch.Id, 15));
        Assert.Equal(143, (await Distrun.End(launch)).ExitCode);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Results_OfRankZero_AreAloneOnStdoutAndComeAsTheyAre()
    {
        _copy.Worker(NoPreflight + "printf \"out$RANK\\377\\n half\"; echo \"err$RANK\" >&2");
        var launch = _distrun.Start("--nproc-per-node", "2", "worker");
        var output = new MemoryStream();
        await launch.StandardOutput.BaseStream.CopyToAsync(output).DefaultTimeout();
        Assert.Equal([.. "out0"u8, 0xff, .. "\n half"u8], output.ToArray());
        var result = await Distrun.End(launch);
        Assert.Equal(["[rank0]: err0", "[rank1]:  half", "[rank1]: err1", "[rank1]: out1\ufffd"], result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    [UnixFact]
    public async Task Rank_RefusesItsInput_EndsTheJobWithoutAReport()
    {
        _copy.Worker(NoPreflight + "[ $RANK = 0 ] || exec sleep 300\necho 'The prompt is too long.' >&2; exit 2");
        var result = await _distrun.Run("--nproc-per-node", "2", "worker");
        Assert.Equal((2, "[rank0]: The prompt is too long.\n"), (result.ExitCode, result.Error));
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Envelope_ReachesEachRankOverStdin_AndItsSecretNobodyElse()
    {
        _copy.Worker(NoPreflight + "IFS= read -r envelope; printf '%s\\n' \"$envelope\" >\"envelope$RANK\"; tr '\\0' '\\n' </proc/$$/environ >\"environment$RANK\"; ps -o args= -p $$ >>\"environment$RANK\"");
        var result = await _distrun.Run("--nproc-per-node", "2", "worker", "x");
        Assert.Equal(0, result.ExitCode);
        var envelopes = Enumerable.Range(0, 2)
            .Select(rank => Collectives.Launching.JobEnvelope.Parse(File.ReadAllBytes(_distrun.Files[$"envelope{rank}"]).AsSpan().TrimEnd((byte)'\n')))
            .ToArray();
        Assert.Equal([0, 1], envelopes.Select(envelope => envelope.Rank));
        Assert.Equal(envelopes[0].JobId, envelopes[1].JobId);
        Assert.True(envelopes[1].Secret.Verify("p", [1], envelopes[0].Secret.Prove("p", [1])));
        Assert.All(envelopes, envelope => Assert.False(envelope.UserInputIsTerminal));
        var line = File.ReadAllText(_distrun.Files["envelope0"]);
        var secret = System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("secret").GetString()!;
        var environment = File.ReadAllText(_distrun.Files["environment0"]);
        Assert.DoesNotContain(secret, environment, StringComparison.Ordinal);
        Assert.Contains("DISTRUN_ENVELOPE=1\n", environment, StringComparison.Ordinal);
        Assert.Matches($"DISTRUN_STORE=unix:{_distrun.Jobs}/distrun-\\d+/[0-9a-f]{{12}}/s0\\.sock\n", environment);
    }

    [UnixFact]
    public async Task UserInput_ReachesRankZeroOnly()
    {
        _copy.Worker(NoPreflight + $"exec '{TestProgram.Path}' attach-and-end");
        var launch = _distrun.Start("--nproc-per-node", "2", "worker");
        await launch.StandardInput.WriteAsync("one\ntwo");
        launch.StandardInput.Close();
        var result = await Distrun.Finish(launch);
        Assert.Equal("attached as rank 0, terminal False, console empty\nread one\nread two\ninput ended\n", result.Output);
        Assert.Equal("[rank1]: attached as rank 1, terminal False, console empty\n[rank1]: input ended\n", result.Error);
        Assert.Equal(0, result.ExitCode);
    }

    [UnixFact]
    public async Task UserInput_ThatNobodyReads_DelaysNothing()
    {
        _copy.Worker(NoPreflight + "sleep 0.3; echo done");
        var launch = _distrun.Start("worker");
        var writing = launch.StandardInput.BaseStream.WriteAsync(new byte[1_000_000]).AsTask();
        Assert.Equal("done\n", await launch.StandardOutput.ReadToEndAsync().DefaultTimeout());
        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(0, launch.ExitCode);
        await Assert.ThrowsAnyAsync<IOException>(() => writing.DefaultTimeout());
    }

    /// <summary>A restarted worker cannot be taken for the one before it, and goes on with the input that the one before has not taken.</summary>
    [UnixFact]
    public async Task Restart_HasASecretAStoreAndAnEpochOfItsOwn_AndTheRestOfTheInput()
    {
        _copy.Worker(NoPreflight + $$"""
            [ $RANK = 0 ] || { [ $TORCHELASTIC_RESTART_COUNT = 1 ] || exec sleep 300; exit 0; }
            echo "$TORCHELASTIC_RESTART_COUNT ${DISTRUN_STORE##*/}"
            if [ $TORCHELASTIC_RESTART_COUNT = 1 ]; then exec '{{TestProgram.Path}}' attach-and-end; fi
            IFS= read -r envelope; echo "$envelope" >envelope; exit 7
            """);
        var launch = _distrun.Start("--nproc-per-node", "2", "--max-restarts", "1", "--min-uptime", "0", "worker");
        Assert.Equal("0 s0.sock", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        Assert.Equal("1 s1.sock", await launch.StandardOutput.ReadLineAsync().DefaultTimeout());
        await launch.StandardInput.WriteAsync("later\n");
        var result = await Distrun.End(launch);
        Assert.Equal(["attached as rank 0, terminal False, console empty", "read later", "input ended"], result.OutputLines);
        Assert.Equal(0, Collectives.Launching.JobEnvelope.Parse(File.ReadAllBytes(_distrun.Files["envelope"]).AsSpan().TrimEnd((byte)'\n')).Epoch);
    }

    /// <summary>The guardian out of the way: the ranks' own ties to the launcher have to do.</summary>
    [LinuxTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Launcher_IsKilledWithItsGuardian_RanksEndByThemselves(bool stopped)
    {
        _copy.Worker(NoPreflight + $"exec '{TestProgram.Path}' attach-and-never-read");
        var launch = _distrun.Start("--nproc-per-node", "2", "worker");
        Assert.StartsWith("attached", await launch.StandardOutput.ReadLineAsync().DefaultTimeout(), StringComparison.Ordinal);
        for (var line = ""; !line.Contains("attached as rank 1", StringComparison.Ordinal);) // after what the launcher itself has to say
        {
            line = await launch.StandardError.ReadLineAsync().DefaultTimeout() ?? throw new EndOfStreamException();
        }

        var guardian = Assert.Single(Children(launch.Id), id => File.ReadAllText($"/proc/{id}/cmdline").Contains("distrun-guardian", StringComparison.Ordinal));
        Assert.Equal(0, Posix.Kill(guardian, Posix.SigKill));
        foreach (var id in _distrun.Processes().Where(id => id != launch.Id && stopped))
        {
            Assert.Equal(0, Posix.Kill(id, Posix.SigStop));
            await Posix.WaitUntilStopped(id); // A kernel without the parent-death signal wakes those that are, not those that are about to be.
        }

        launch.Kill();
        await Task.WhenAll(_distrun.Processes().Select(Posix.WaitUntilGone)).DefaultTimeout();

        // Nobody was left to remove the directory; the next launcher does.
        using var next = new Distrun { Environment = { ["TMPDIR"] = _distrun.Jobs } };
        Assert.Equal(0, (await next.Run("sleep", "0.3")).ExitCode);
        await _distrun.AssertNothingIsLeft();
    }

    private static int[] Children(int id)
        => [.. File.ReadAllText($"/proc/{id}/task/{id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];

    /// <summary>The launcher, copied without its worker.</summary>
    public sealed class Copy : IDisposable
    {
        private readonly TemporaryFolder _folder = new();

        public Copy()
        {
            using var built = new Distrun();
            foreach (var file in Directory.GetFiles(built.Folder))
            {
                File.Copy(file, _folder[Path.GetFileName(file)]);
            }

            Directory.CreateDirectory(_folder["worker"]);
        }

        public string Program => _folder["distrun"];

        public void Worker(string script) => _folder.Script("worker/worker", script);

        public void Dispose() => _folder.Dispose();
    }
}
