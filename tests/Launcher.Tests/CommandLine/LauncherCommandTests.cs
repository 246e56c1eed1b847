using System.Text;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.CommandLine;

public sealed class LauncherCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, string> _environment = new() { ["PATH"] = "/usr/bin:/bin" };
    private readonly List<string> _problems = [];

    public void Dispose() => _folder.Dispose();

    [UnixFact]
    public void Options_InBothSpellingsAndForms_AreTheSame()
    {
        var dashes = Read("--nproc-per-node", "3", "--shutdown-timeout=1.5", "--rdzv-id", "a", "--role=b", "sh")!;
        var underscores = Read("--nproc_per_node=3", "--shutdown_timeout", "1.5", "--rdzv_id=a", "--role", "b", "sh")!;
        Assert.Empty(_problems);
        Assert.Equal((3, TimeSpan.FromSeconds(1.5), "a", "b"), (dashes.LocalWorldSize, dashes.ShutdownTimeout, dashes.RunId, dashes.Role));
    }

    [UnixFact]
    public void Defaults_AreTorchrunsButForThePort()
    {
        var options = Read("sh")!;
        Assert.Equal(
            (1, "default", "none", "127.0.0.1", 0, TimeSpan.FromSeconds(30), null, null),
            (options.LocalWorldSize, options.Role, options.RunId, options.MasterAddress, options.MasterPort, options.ShutdownTimeout, options.Logs.Directory, options.Logs.PrefixTemplate));
    }

    [UnixFact]
    public void Options_GivenTwice_CountAsGivenLast() => Assert.Equal(4, Read("--nproc-per-node", "2", "--nproc-per-node=4", "sh")!.LocalWorldSize);

    [UnixFact]
    public void Options_OfTorchrunThatNeedNothingHere_AreAccepted()
    {
        Read("--nnodes=1:1", "--node-rank", "0", "--max-restarts", "0", "--monitor-interval", "5", "--start-method", "fork", "--standalone", "sh");
        Assert.Empty(_problems);
    }

    [UnixFact]
    public void Variables_AreDefaults_AndTheCommandLineWins()
    {
        _environment["PET_NPROC_PER_NODE"] = "7";
        _environment["PET_ROLE"] = "r";
        _environment["PET_NNODES"] = "1";
        _environment["PET_MONITOR_INTERVAL"] = "1";
        _environment["PET_START_METHOD"] = "spawn";
        _environment["PET_NO_PYTHON"] = "1";
        _environment["PET_MODULE"] = "0";
        _environment["PET_RUN_PATH"] = "0";
        _environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = "600";
        var options = Read("--role", "x", "sh")!;
        Assert.Empty(_problems);
        Assert.Equal((7, "x", TimeSpan.FromSeconds(600)), (options.LocalWorldSize, options.Role, options.ShutdownTimeout));
        Assert.Equal(TimeSpan.FromSeconds(120), Read("--shutdown-timeout", "120", "sh")!.ShutdownTimeout);
    }

    [UnixFact]
    public void Program_AndAllBehindIt_IsUntouched()
    {
        var program = Read("--nproc-per-node", "2", "sh", "--help", "--nproc-per-node", "9", "-m", "--", "--tee=3")!.Program;
        Assert.Equal("/usr/bin/sh", program.Path);
        Assert.Equal(["--help", "--nproc-per-node", "9", "-m", "--", "--tee=3"], program.Arguments);
        Assert.Equal(["--role"], Read("--", "sh", "--role")!.Program.Arguments);
    }

    [UnixTheory]
    [InlineData("--nproc-per-node unknown sh", "--nproc-per-node unknown is none of auto, cpu, gpu or a number from 1 to 1000; choose one of them.")]
    [InlineData("--nproc-per-node 0 sh", "--nproc-per-node 0 is none of auto, cpu, gpu or a number from 1 to 1000; choose one of them.")]
    [InlineData("--nproc-per-node -2 sh", "--nproc-per-node -2 is none of auto, cpu, gpu or a number from 1 to 1000; choose one of them.")]
    [InlineData("--nnodes 2:20:30 sh", "--nnodes 2:20:30 is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.")]
    [InlineData("--nnodes 0:1 sh", "--nnodes 0:1 is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.")]
    [InlineData("--nnodes 3:2 sh", "--nnodes 3:2 is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.")]
    [InlineData("--nnodes 2:3 sh", "--nnodes 2:3: with the static backend the number of nodes is fixed; write one number, or --rdzv-backend c10d.")]
    [InlineData("--nnodes 201 sh", "--nnodes 201: a rendezvous takes 200 nodes; name fewer, with more ranks on each.")]
    [InlineData("--nnodes 2 --rdzv-backend c10d --rdzv-endpoint h:0 sh", "--rdzv-endpoint has port 0, which no other node can know; name a port.")]
    [InlineData("--nnodes 2 --rdzv-conf keep_alive_max_attempt=0 sh", "--rdzv-conf keep_alive_max_attempt=0 is not a number from 1 to 1000; correct it, or leave it out.")]
    [InlineData("--no-restart-exit-codes 2,x sh", "--no-restart-exit-codes 2,x is not a list of exit codes from 1 to 255; write 2,93, say.")]
    [InlineData("--no-restart-exit-codes 0 sh", "--no-restart-exit-codes 0 is not a list of exit codes from 1 to 255; write 2,93, say.")]
    [InlineData("--min-uptime soon sh", "--min-uptime soon is not a number of seconds from 0 to 1000000; write 5, say.")]
    [InlineData("--max-restarts -1 sh", "--max-restarts -1 is not a whole number from 0; write 0, say.")]
    [InlineData("--shutdown-timeout -5 sh", "--shutdown-timeout -5 is not a number of seconds from 0 to 1000000; write 30, say.")]
    [InlineData("--monitor-interval 0 sh", "--monitor-interval 0 is not a number of seconds above 0 to 1000000; write 0.1, say.")]
    [InlineData("--master-port 65536 sh", "--master-port 65536 is not a whole number from 0 to 65535; write 0, say.")]
    [InlineData("--node-rank 1 sh", "--node-rank 1 has to be 0 here; write 0, say.")]
    [InlineData("--rdzv-backend zoo sh", "--rdzv-backend zoo is none of static, c10d, etcd; choose one of them.")]
    [InlineData("--rdzv-backend etcd-v2 sh", "--rdzv-backend etcd-v2: the v2 API is gone from etcd 3.6; write etcd, which speaks v3.")]
    [InlineData("--rdzv-backend c10d --rdzv-endpoint h:x sh", "--rdzv-endpoint h:x has the port x, which is not a number from 0 to 65535; write host:port.")]
    [InlineData("--rdzv-endpoint=h sh", "--rdzv-endpoint h has no port, which the static backend needs; write h:29500, or add --master-port.")]
    [InlineData("--rdzv-conf join_timeout sh", "--rdzv-conf join_timeout is not of the form name=value; write join_timeout=600, say.")]
    [InlineData("--rdzv-conf read_timeout=0 sh", "--rdzv-conf read_timeout=0 is not a number of seconds above 0; correct it, or leave it out.")]
    [InlineData("--rdzv-conf store_type=zoo sh", "--rdzv-conf store_type=zoo is not tcp, the one kind of store there is; correct it, or leave it out.")]
    [InlineData("--rdzv-id= sh", "--rdzv-id is empty; write a name for the run, or leave the option out.")]
    [InlineData("--local-ranks-filter a,b sh", "--local-ranks-filter a,b is not a list of local ranks from 0; write 0,1, say.")]
    [InlineData("--logs-specs mine sh", "--logs-specs mine is a plugin of torchrun's, a Python class; leave it out, and use --log-dir, --redirects and --tee.")]
    [InlineData("-r 0:1, sh", "--redirects 0:1, is neither 0, 1, 2, 3 nor a list of rank:0..3; write 3, or 0:1,12:3, say.")]
    [InlineData("--tee 11 sh", "--tee 11 is neither 0, 1, 2, 3 nor a list of rank:0..3; write 3, or 0:1,12:3, say.")]
    [InlineData("--tee 3 --log-dir /dev/null sh", "--log-dir /dev/null leaves no place for the files of --redirects, --tee and --duplicate-*-filters; name a folder.")]
    [InlineData("--log-max-size 1K sh", "--log-max-size 1K is not a size of at least 4K; write 64M, say.")]
    [InlineData("--color blue sh", "--color blue is none of auto, always, never; choose one of them.")]
    [InlineData("--event-log-handler zoo sh", "--event-log-handler zoo is none of null, console; choose one of them.")]
    [InlineData("--start-method zoo sh", "--start-method zoo is none of spawn, fork, forkserver; choose one of them.")]
    [InlineData("--run-path --module x", "--run-path and --module exclude each other: one takes a file, the other a module; leave one of them out.")]
    [InlineData("--standalone=1 sh", "--standalone takes no value; write --standalone alone instead of --standalone=1.")]
    [InlineData("--role", "--role needs a value; write --role NAME.|No program is given; write it after the options, for example: distrun --nproc-per-node 2 worker complete --config configs/demo.json.")]
    [InlineData("--role --standalone sh", "--role needs a value; write --role NAME.")]
    [InlineData("--nproc 2 sh", "--nproc is not an option of distrun; did you mean --nproc-per-node?")]
    [InlineData("--colour 2 sh", "--colour is not an option of distrun; options of the program go after its name.")]
    [InlineData("--no-python -m mod", "--no-python and --module exclude each other: a module is run by Python; leave one of them out.")]
    [InlineData("no_such_program", "no_such_program is not a program on the PATH; check its name, or write a path with a slash.")]
    [InlineData("./no_such_program", "./no_such_program does not exist; check the path, which is taken from {cwd}.")]
    [InlineData("train.py", "train.py does not exist; check the path, which is taken from {cwd}.")]
    [InlineData("/usr", "/usr is a directory, not a program; name a file in it.")]
    [InlineData("/etc/passwd", "/etc/passwd may not be executed; make it executable (chmod +x), or put its interpreter before it.")]
    [InlineData("example_text_completion.py --ckpt_dir x", "example_text_completion.py does not exist; the bundled \"worker complete\" takes the same options.")]
    [InlineData("llama/example_chat_completion.py", "llama/example_chat_completion.py does not exist; the bundled \"worker chat\" takes the same options.")]
    [InlineData("worker", "The bundled worker is not at {folder}/worker/worker; build the launcher again (dotnet build -c Release), or name another program as ./worker.")]
    public void Mistake_IsOneSentence(string commandLine, string expected)
    {
        Read(commandLine.Split(' '));
        Assert.Equal(
            expected.Replace("{cwd}", Environment.CurrentDirectory, StringComparison.Ordinal).Replace("{folder}", _folder.Path, StringComparison.Ordinal).Split('|'),
            _problems);
    }

    [UnixFact]
    public void Variables_WithMistakes_AreNamed()
    {
        _environment["PET_MODULE"] = "7";
        _environment["PET_NNODES"] = "x";
        _environment["PET_TEE"] = "4";
        _environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = "soon";
        Read("sh");
        Assert.Equal(
            [
                "PET_MODULE=7 is neither 1 nor 0; set it to one of them.",
                "PET_NNODES x is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.",
                "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=soon is not a number of seconds from 0 to 1000000; write 30, say.",
                "PET_TEE 4 is neither 0, 1, 2, 3 nor a list of rank:0..3; write 3, or 0:1,12:3, say.",
            ],
            _problems);
    }

    // Line 12.
    [UnixTheory]
    [InlineData("1", 1, 1)]
    [InlineData("4", 4, 4)]
    [InlineData("2:20", 2, 20)]
    public void Nnodes_IsOneNumberOrTwo(string text, int minimum, int maximum)
    {
        var nodes = Read("--nnodes", text, "--rdzv-backend", "c10d", "--rdzv-endpoint", "h", "sh")!.Nodes;
        Assert.Equal((minimum, maximum), (nodes.MinNodes, nodes.MaxNodes));
    }

    // Line 17.
    [Theory]
    [InlineData("host", "host", null)]
    [InlineData("host-1.example_a.com:0", "host-1.example_a.com", 0)]
    [InlineData("10.0.0.7:29400", "10.0.0.7", 29400)]
    [InlineData("[::1]:5000", "::1", 5000)]
    [InlineData("[fe80::2]", "fe80::2", null)]
    [InlineData("::1", "::1", null)]
    public void Endpoint_IsReadAsItIsWritten(string text, string host, int? port)
        => Assert.Equal((host, port, (string?)null), NodeOptionsReader.ParseEndpoint(text));

    // Line 17.
    [Theory]
    [InlineData("host:65536")]
    [InlineData("host:-1")]
    [InlineData("host:")]
    [InlineData(":29400")]
    [InlineData("a b:1")]
    [InlineData("a/b:1")]
    [InlineData("[::1")]
    [InlineData("[::1]5000")]
    [InlineData("[host]:5000")]
    public void Endpoint_OfAnotherForm_IsRefused(string text) => Assert.NotNull(NodeOptionsReader.ParseEndpoint(text).Problem);

    [UnixTheory]
    [InlineData("", "localhost", 29400)]
    [InlineData("--rdzv-endpoint h", "h", 29400)]
    [InlineData("--rdzv-endpoint h:7", "h", 7)]
    public void Endpoint_OfTheC10dBackend_HasItsDefaults(string options, string host, int port)
    {
        var nodes = Read([.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--rdzv-backend", "c10d", "sh"])!.Nodes;
        Assert.Empty(_problems);
        Assert.Equal((RendezvousBackend.C10d, host, port), (nodes.Backend, nodes.EndpointHost, nodes.EndpointPort));
    }

    // Lines 15 and 31: what is named wins and is used as it is.
    [UnixTheory]
    [InlineData("", "127.0.0.1", 0)]
    [InlineData("--master-addr a --master-port 7 --node-rank 0", "a", 7)]
    [InlineData("--rdzv-backend static --rdzv-endpoint b:8", "b", 8)]
    [InlineData("--rdzv-endpoint b --master-port 9", "b", 9)]
    [InlineData("--rdzv-endpoint b:8 --master-addr a", "a", 8)]
    [InlineData("--rdzv-backend c10d --rdzv-endpoint b:8", "127.0.0.1", 0)]
    [InlineData("--rdzv-backend c10d --master-addr a --master-port 7", "a", 7)]
    [InlineData("--local-addr 10.0.0.9", "10.0.0.9", 0)]
    [InlineData("--standalone --master-addr a --master-port 7 --rdzv-backend c10d --rdzv-endpoint b:8", "127.0.0.1", 0)]
    public void Master_IsWhatWasNamed(string options, string address, int port)
    {
        var read = Read([.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "sh"])!;
        Assert.Empty(_problems);
        Assert.Equal((address, port), (read.MasterAddress, read.MasterPort));
    }

    // Line 16.
    [UnixFact]
    public void RdzvConf_IsReadWithoutItsSpaces()
    {
        Assert.Equal(
            [("a", "1"), ("join_timeout", "600")],
            Read("--rdzv-conf", " a = 1 , join_timeout=600", "sh")!.Nodes.Configuration.Select(pair => (pair.Key, pair.Value)));
        Assert.Empty(Read("--rdzv-conf", "", "sh")!.Nodes.Configuration);
        Assert.Empty(_problems);
    }

    // Line 26.
    [UnixFact]
    public void MasterAddr_ForABackendThatDoesNotReadIt_IsSaidAndNoMistake()
    {
        var options = Read("--nnodes", "2", "--rdzv-backend", "c10d", "--master-addr", "h", "sh")!;
        Assert.Equal(["--master-addr h is for the static backend; with c10d write --rdzv-endpoint."], options.Notes);
        Assert.DoesNotContain(_problems, problem => problem.Contains("master-addr", StringComparison.Ordinal));
    }

    // Lines 21 and 22, and L6.
    [Theory]
    [InlineData("0", 0, 0, 0)]
    [InlineData("3", 3, 3, 3)]
    [InlineData("0:1,1:2", 1, 2, 0)]
    [InlineData("1:1", 0, 1, 0)]
    [InlineData("10:3", 0, 0, 3)]
    public void Streams_OfTorchrunsGrammar_AreRead(string text, int ofRank0, int ofRank1, int ofRank10)
    {
        var streams = RankStreams.Parse(text)!;
        Assert.Equal((ofRank0, ofRank1, ofRank10), ((int)streams[0], (int)streams[1], (int)streams[10]));
    }

    // Line 21.
    [Theory]
    [InlineData("0:1,")]
    [InlineData("11")]
    [InlineData("4")]
    [InlineData("0:1,1")]
    [InlineData("1,0:1")]
    [InlineData("0:4")]
    [InlineData("a:1")]
    [InlineData("")]
    public void Streams_OfAnotherForm_AreRefused(string text) => Assert.Null(RankStreams.Parse(text));

    // Line 23.
    [Theory]
    [InlineData("apple", new[] { "apple" })]
    [InlineData("apple,orange", new[] { "apple", "orange" })]
    [InlineData("a,,b,c", new[] { "a,b", "c" })]
    [InlineData(",,", new[] { "," })]
    public void Filters_AreSplitAtSingleCommas(string text, string[] expected) => Assert.Equal(expected, LogOptionsReader.SplitFilters(text));

    // Line 69.
    [UnixFact]
    public void SignalsToHandle_AreTorchrunsFour()
        => Assert.Equal([1, 2, 3, 15], Read("sh")!.SignalsToHandle.Order());

    // Line 33.
    [UnixFact]
    public void VirtualLocalRank_WithFewerGpusThanRanks_IsRefused()
    {
        _environment["CUDA_VISIBLE_DEVICES"] = "0,1";
        Read("--virtual-local-rank", "--nproc-per-node", "3", "sh");
        Assert.Equal(
            ["--virtual-local-rank gives each of the 3 ranks a GPU, and CUDA_VISIBLE_DEVICES names 2; start fewer ranks, or name more GPUs."], _problems);
    }

    [UnixFact]
    public void LogDir_ThatIsAFile_IsRefused()
    {
        File.WriteAllText(_folder["file"], "");
        Read("--log-dir", _folder["file"], "sh");
        Assert.Equal([$"--log-dir {_folder["file"]} is a file; name a folder, which is made if need be."], _problems);
        _problems.Clear();
        Assert.Equal("/dev/null", Read("--log-dir", "/dev/null", "sh")!.Logs.Directory);
        Assert.Empty(_problems);
    }

    [UnixFact]
    public void Program_InTheWorkingFolderOnly_IsNamedWithItsPath()
    {
        // The name of a file of the working folder that is on no PATH: the test's own assembly.
        var name = Directory.GetFiles(Environment.CurrentDirectory, "*.json").Select(Path.GetFileName).First()!;
        Read(name);
        Assert.Equal([$"{name} is not on the PATH; write ./{name} for the file in this folder."], _problems);
    }

    [UnixTheory]
    [InlineData("train.py", "train.py")]
    [InlineData("python3 -u dir/train.py a", "dir/train.py")]
    [InlineData("sh -c x", "sh")]
    public void Title_IsTorchruns(string commandLine, string title)
    {
        _folder.Script("train.py", "");
        var words = commandLine.Replace("dir/train.py", _folder["train.py"], StringComparison.Ordinal).Split(' ');
        if (words[0] == "train.py")
        {
            words[0] = _folder["train.py"];
        }

        _environment["PATH"] += ":" + _folder.Path;
        _folder.Script("python3", "");
        Assert.EndsWith(title.Split('/')[^1], Read(words)!.Program.Title, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, int.MaxValue)]
    [InlineData("", 0)]
    [InlineData("0", 1)]
    [InlineData("2, 0,1", 3)]
    [InlineData("0,-1,1", 1)]
    [InlineData("GPU-3faa1b,GPU-77", 2)]
    public void Gpus_VisibleDevices_AreCountedAsCudaDoes(string? variable, int count) => Assert.Equal(count, Gpus.CountVisible(variable));

    [Fact]
    public void Gpus_DeviceFiles_AreCountedWithoutTheControlOnes()
    {
        foreach (var name in new[] { "nvidia0", "nvidia1", "nvidia12", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "sda" })
        {
            File.WriteAllText(_folder[name], "");
        }

        Assert.Equal(3, Gpus.CountDevices(_folder.Path));
    }

    [UnixFact]
    public async Task Mistakes_AreReportedTogetherAndNothingIsStarted()
    {
        using var distrun = new Distrun();
        var result = await distrun.Run("--nproc-per-node", "x", "--tee", "4", "--nnodes", "2:3", "--shutdown-timeout", "no", "touch", "started");
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        Assert.Equal(
            ["--nproc-per-node x", "--nnodes 2:3", "--shutdown-timeout no", "--tee 4", "Nothing was started."],
            result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line["distrun: ".Length..].Split([" is", ": ", " distrun"], StringSplitOptions.None)[0]));
        Assert.False(File.Exists(distrun.Files["started"]));
    }

    [Fact]
    public void Help_NamesEveryOptionInLinesOfOneScreen()
    {
        using var output = new MemoryStream();
        var (options, exitCode) = LauncherCommand.Read(["--nproc-per-node", "2", "--help", "sh"], new ConsoleOutput(output, Stream.Null, sameTerminal: false));
        Assert.Null(options);
        Assert.Equal(0, exitCode);
        var lines = Encoding.UTF8.GetString(output.ToArray()).Split('\n');
        Assert.All(LauncherOption.Groups.SelectMany(group => group.Options), option => Assert.Single(lines, line => line.Contains(option.Name + " ", StringComparison.Ordinal) && line.Contains(option.Description!, StringComparison.Ordinal)));
        Assert.All(lines, line => Assert.InRange(line.Length, 0, 140));
        Assert.Contains("noticed at once, not polled for", Encoding.UTF8.GetString(output.ToArray()), StringComparison.Ordinal);
    }

    private LaunchOptions? Read(params string[] arguments)
    {
        var split = new SplitCommandLine(arguments);
        _problems.AddRange(split.Problems);
        var reader = new LaunchOptionsReader(new OptionValues(split.ValueOf, name => _environment.GetValueOrDefault(name), _problems));
        var finder = new WorkerProgramFinder(_folder.Path, name => _environment.GetValueOrDefault(name));
        return reader.Read(split.HasUnknownOption ? null : reader.FindProgram(split.Program, finder));
    }
}
