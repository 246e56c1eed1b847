using System.Globalization;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>What a rank finds in its environment and its arguments.</summary>
public sealed class EnvironmentTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [UnixFact]
    public async Task Rank_Environment_IsTorchruns()
    {
        _distrun.Environment["SENTINEL"] = "from the parent";
        _distrun.Environment["RANK"] = "17"; // of another launcher around this one
        var result = await _distrun.Run("--nproc-per-node", "2", "--role", "trainer", "--rdzv-id", "run7", "--log-dir", "logs", "env");
        for (var rank = 0; rank < 2; rank++)
        {
            var prefix = $"[rank{rank}]: ";
            var variables = result.OutputLines.Where(line => line.StartsWith(prefix, StringComparison.Ordinal))
                .Select(line => line[prefix.Length..].Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
            var expected = new Dictionary<string, string>
            {
                ["RANK"] = rank.ToString(CultureInfo.InvariantCulture),
                ["LOCAL_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
                ["WORLD_SIZE"] = "2",
                ["LOCAL_WORLD_SIZE"] = "2",
                ["GROUP_RANK"] = "0",
                ["GROUP_WORLD_SIZE"] = "1",
                ["ROLE_NAME"] = "trainer",
                ["ROLE_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
                ["ROLE_WORLD_SIZE"] = "2",
                ["MASTER_ADDR"] = "127.0.0.1",
                ["TORCHELASTIC_RESTART_COUNT"] = "0",
                ["TORCHELASTIC_MAX_RESTARTS"] = "0",
                ["TORCHELASTIC_RUN_ID"] = "run7",
                ["TORCHELASTIC_USE_AGENT_STORE"] = "False",
                ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "1",
                ["OMP_NUM_THREADS"] = Math.Max(1, Environment.ProcessorCount / 2).ToString(CultureInfo.InvariantCulture),
                ["SENTINEL"] = "from the parent",
            };
            Assert.All(expected, pair => Assert.Equal((pair.Key, pair.Value), (pair.Key, variables.GetValueOrDefault(pair.Key))));
            Assert.InRange(int.Parse(variables["MASTER_PORT"], CultureInfo.InvariantCulture), 20_000, 32_767);
            Assert.Matches($"/logs/run7_[0-9a-f]{{8}}/attempt_0/{rank}/error\\.json$", variables["TORCHELASTIC_ERROR_FILE"]);

            // No secret, no envelope and no store for a program that does not know them.
            Assert.Equal("", variables["DISTRUN_ENVELOPE"]);
            Assert.Equal("", variables["DISTRUN_STORE"]);
            Assert.StartsWith(_distrun.Jobs, variables["DISTRUN_RUNTIME_DIR"], StringComparison.Ordinal);
        }

        Assert.Matches(@"^distrun: OMP_NUM_THREADS=\d+ for each rank \(\d+ cores / 2 ranks\); set it to choose another number\.\n$", result.Error);
    }

    [UnixFact]
    public async Task Rank_UsersChoices_AreLeftAlone()
    {
        _distrun.Environment["OMP_NUM_THREADS"] = "5";
        _distrun.Environment["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0";
        _distrun.Environment["CUDA_VISIBLE_DEVICES"] = "1,0";
        var result = await _distrun.Run(
            "--nproc-per-node", "2", "sh", "-c", "echo $OMP_NUM_THREADS $TORCH_NCCL_ASYNC_ERROR_HANDLING $CUDA_VISIBLE_DEVICES");
        Assert.Equal(["[rank0]: 5 0 1,0", "[rank1]: 5 0 1,0"], result.OutputLines.Order());
        Assert.Equal("", result.Error);
    }

    // Line 33.
    [UnixFact]
    public async Task VirtualLocalRank_GivesEachRankADeviceAndTheLocalRankZero()
    {
        const string Program = "echo $RANK $LOCAL_RANK $CUDA_VISIBLE_DEVICES";
        _distrun.Environment["CUDA_VISIBLE_DEVICES"] = "4, 6,5";
        var result = await _distrun.Run("--virtual-local-rank", "--nproc-per-node", "2", "sh", "-c", Program);
        Assert.Equal(["[rank0]: 0 0 4", "[rank1]: 1 0 6"], result.OutputLines.Order());
        _distrun.Environment["CUDA_VISIBLE_DEVICES"] = null;
        result = await _distrun.Run("--virtual-local-rank", "--nproc-per-node", "2", "sh", "-c", Program);
        Assert.Equal(["[rank0]: 0 0 0", "[rank1]: 1 0 1"], result.OutputLines.Order());
    }

    // Line 36.
    [UnixFact]
    public async Task TimerFile_OfTheUser_IsPassedOn()
    {
        _distrun.Environment["TORCHELASTIC_TIMER_FILE"] = "/tmp/timer";
        Assert.Equal("/tmp/timer\n", (await _distrun.Run("sh", "-c", "echo $TORCHELASTIC_TIMER_FILE")).Output);
        _distrun.Environment["TORCHELASTIC_TIMER_FILE"] = null;
        Assert.Equal("none\n", (await _distrun.Run("sh", "-c", "echo ${TORCHELASTIC_TIMER_FILE-none}")).Output);
    }

    /// <summary>A .NET rank sees its part of the cores, whether it is started as an assembly or by its executable.</summary>
    [UnixTheory]
    [InlineData("")]
    [InlineData(".dll")]
    public async Task DotnetRank_SeesItsPartOfTheCores(string suffix)
    {
        var share = Math.Max(1, Environment.ProcessorCount / 2);
        var result = await _distrun.Run("--nproc-per-node", "2", TestProgram.Path + suffix, "processors");
        Assert.Equal([$"[rank0]: {share} {share}", $"[rank1]: {share} {share}"], result.OutputLines.Order());
        Assert.Equal($"distrun: DOTNET_PROCESSOR_COUNT={share}, OMP_NUM_THREADS={share} for each rank ({Environment.ProcessorCount} cores / 2 ranks); set it to choose another number.\n", result.Error);
    }

    [UnixFact]
    public async Task Rank_Alone_KeepsAllCores()
    {
        var result = await _distrun.Run("sh", "-c", "echo ${OMP_NUM_THREADS-unset}");
        Assert.Equal(("unset\n", ""), (result.Output, result.Error));
    }

    [UnixFact]
    public async Task Arguments_OfTheProgram_ArriveUntouched()
    {
        string[] arguments = ["--help", "--nproc-per-node", "9", "-m", "--", "", " two  words ", "it's \"quoted\" \\ $HOME `x`", "ünïcødé 😀", "a\nb", "${rank}"];
        var result = await _distrun.Run(["--nproc_per_node=1", "sh", "-c", """for a in "$@"; do printf '<%s>' "$a"; done""", "zero", .. arguments]);
        Assert.Equal(string.Concat(arguments.Select(argument => $"<{argument}>")), result.Output);
    }

    [UnixFact]
    public async Task Arguments_LocalRankMacro_IsFilledIn()
    {
        var result = await _distrun.Run("--nproc-per-node", "2", "echo", "--local-rank=${local_rank}", "${local_rank}${local_rank}");
        Assert.Equal(["[rank0]: --local-rank=0 00", "[rank1]: --local-rank=1 11"], result.OutputLines.Order());
    }

    [UnixFact]
    public async Task MasterPort_OfTheUser_IsUsedUnlessSomethingListensThere()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var busy = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        var result = await _distrun.Run("--master-port", busy.ToString(CultureInfo.InvariantCulture), "sh", "-c", "echo $MASTER_PORT");
        Assert.NotEqual(busy, int.Parse(result.Output, CultureInfo.InvariantCulture));
        Assert.Equal($"distrun: port {busy} is in use; MASTER_PORT is {result.Output.Trim()} instead.\n", result.Error);

        result = await _distrun.Run("--master-addr", "10.1.2.3", "--master-port", "4567", "sh", "-c", "echo $MASTER_ADDR:$MASTER_PORT");
        Assert.Equal("10.1.2.3:4567\n", result.Output);
    }

    [UnixFact]
    public async Task Standalone_OverridesWhatNamesAMeetingPlace()
    {
        var result = await _distrun.Run(
            "--standalone", "--rdzv-id", "x", "--master-addr", "10.1.2.3", "--master-port", "4567", "sh", "-c", "echo $TORCHELASTIC_RUN_ID $MASTER_ADDR $MASTER_PORT");
        Assert.Matches(@"^[0-9a-f-]{36} 127\.0\.0\.1 (2|3)\d{4}\n$", result.Output);
    }

    [UnixFact]
    public async Task PythonScript_IsRunUnbuffered_AndModuleWithM()
    {
        if (Requirements.MissingProgram("python3") is not null)
        {
            return;
        }

        File.WriteAllText(_distrun.Files["script.py"], "import os, sys\nprint(os.environ['RANK'], sys.argv[1:], sys.stdout.write_through)\n");
        Assert.Equal("0 ['--help', 'b'] True\n", (await _distrun.Run("script.py", "--help", "b")).Output);
        Assert.Equal("0 ['c'] True\n", (await _distrun.Run("-m", "script", "c")).Output);

        // --run-path: a script, whatever its name ends with.
        File.Copy(_distrun.Files["script.py"], _distrun.Files["script"]);
        Assert.Equal("0 ['d'] True\n", (await _distrun.Run("--run-path", "script", "d")).Output);

        // With --no-python the file is executed itself, here by the interpreter that it names.
        _distrun.Files.Script("shell.py", "echo executed $1");
        Assert.Equal("executed d\n", (await _distrun.Run("--no-python", "./shell.py", "d")).Output);
    }

    [UnixFact]
    public async Task Assembly_IsRunWithDotnet()
    {
        var assembly = Path.Combine(AppContext.BaseDirectory, "Launcher.Tests.dll");
        var result = await _distrun.Run(assembly, "processors");
        Assert.Equal((0, $"{Environment.ProcessorCount} \n"), (result.ExitCode, result.Output));
    }
}
