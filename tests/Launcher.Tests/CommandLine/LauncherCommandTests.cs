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
        Assert.Equal(dashes with { Program = underscores.Program }, underscores);
    }

    [UnixFact]
    public void Defaults_AreTorchrunsButForThePort()
    {
        var options = Read("sh")!;
        Assert.Equal(
            (1, "default", "none", "127.0.0.1", 0, TimeSpan.FromSeconds(30), null, null),
            (options.LocalWorldSize, options.Role, options.RunId, options.MasterAddress, options.MasterPort, options.ShutdownTimeout, options.LogDirectory, options.PrefixTemplate));
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
    [InlineData("--nnodes 2 sh", "--nnodes 2: several nodes are not supported yet; write 1 and start one job a node.")]
    [InlineData("--no-restart-exit-codes 2,x sh", "--no-restart-exit-codes 2,x is not a list of exit codes from 1 to 255; write 2,93, say.")]
    [InlineData("--no-restart-exit-codes 0 sh", "--no-restart-exit-codes 0 is not a list of exit codes from 1 to 255; write 2,93, say.")]
    [InlineData("--min-uptime soon sh", "--min-uptime soon is not a number of seconds from 0 to 1000000; write 5, say.")]
    [InlineData("--max-restarts -1 sh", "--max-restarts -1 is not a whole number from 0; write 0, say.")]
    [InlineData("--shutdown-timeout -5 sh", "--shutdown-timeout -5 is not a number of seconds from 0 to 1000000; write 30, say.")]
    [InlineData("--monitor-interval 0 sh", "--monitor-interval 0 is not a number of seconds above 0 to 1000000; write 0.1, say.")]
    [InlineData("--master-port 65536 sh", "--master-port 65536 is not a whole number from 0 to 65535; write 0, say.")]
    [InlineData("--node-rank 1 sh", "--node-rank 1 has to be 0 here; write 0, say.")]
    [InlineData("--tee 3 sh", "--tee is not supported yet; send stdout and stderr of distrun itself to a file, or through tee.")]
    [InlineData("-r 3 sh", "--redirects is not supported yet; send stdout and stderr of distrun itself to a file, or through tee.")]
    [InlineData("--rdzv_backend=c10d sh", "--rdzv-backend is not supported yet; the ranks of one node meet without it, so leave it out.")]
    [InlineData("--run-path sh", "--run-path is not supported yet; name the script as the program.")]
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
        _environment["PET_TEE"] = "3";
        _environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = "soon";
        Read("sh");
        Assert.Equal(
            [
                "PET_MODULE=7 is neither 1 nor 0; set it to one of them.",
                "PET_NNODES x is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.",
                "PET_TEE=3: --tee is not supported yet; send stdout and stderr of distrun itself to a file, or through tee.",
                "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=soon is not a number of seconds from 0 to 1000000; write 30, say.",
            ],
            _problems);
    }

    [UnixFact]
    public void LogDir_ThatIsAFile_IsRefused()
    {
        File.WriteAllText(_folder["file"], "");
        Read("--log-dir", _folder["file"], "sh");
        Assert.Equal([$"--log-dir {_folder["file"]} is a file; name a folder, which is made if need be."], _problems);
        _problems.Clear();
        Assert.Equal("/dev/null", Read("--log-dir", "/dev/null", "sh")!.LogDirectory);
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
        var result = await distrun.Run("--nproc-per-node", "x", "--tee", "3", "--nnodes", "2", "--shutdown-timeout", "no", "touch", "started");
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        Assert.Equal(
            ["--nproc-per-node x", "--nnodes 2", "--tee", "--shutdown-timeout no", "Nothing was started."],
            result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line["distrun: ".Length..].Split([" is", ":", " distrun"], StringSplitOptions.None)[0]));
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
        Assert.All(LauncherOption.Supported, option => Assert.Single(lines, line => line.Contains(option.Name + " ", StringComparison.Ordinal) && line.Contains(option.Description!, StringComparison.Ordinal)));
        Assert.All(lines, line => Assert.InRange(line.Length, 0, 140));
        Assert.Contains("noticed at once, not polled for", Encoding.UTF8.GetString(output.ToArray()), StringComparison.Ordinal);
    }

    private LaunchOptions? Read(params string[] arguments)
    {
        var split = new SplitCommandLine(arguments);
        _problems.AddRange(split.Problems);
        var reader = new LaunchOptionsReader(split.ValueOf, name => _environment.GetValueOrDefault(name), _problems);
        var finder = new WorkerProgramFinder(_folder.Path, name => _environment.GetValueOrDefault(name));
        return reader.Read(split.HasUnknownOption ? null : reader.FindProgram(split.Program, finder));
    }
}
