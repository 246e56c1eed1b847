using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Launcher.Schedulers;

namespace Distributed.Launcher.Tests.Schedulers;

public sealed class JobFileTests
{
    /// <summary>Arguments that every layer of quoting on the way could spoil.</summary>
    private static readonly string[] Arguments =
    [
        "--nproc-per-node", "8", "train.py", "", "a b", "it's", "\"quoted\"", "$HOME", "$(id)", "$$(X)", "`id`", "back\\slash", "new\nline", "carriage\r\nreturn", "line\u2028separator",
        "*", "~", "#", "!", "{a,b}", "é😀", "--lr=1e-3", "key: value", "${local_rank}",
    ];

    [UnixFact]
    public async Task Sbatch_EveryArgument_ReachesTheProgram()
    {
        using var files = new TemporaryFolder();
        var file = JobFile.Write(JobFile.Sbatch, Content("train.py", 4, 4));
        Assert.StartsWith("#!/bin/sh\n#SBATCH --job-name=train.py\n#SBATCH --nodes=4\n#SBATCH --ntasks-per-node=1\n", file, StringComparison.Ordinal);

        // An srun that prints what it was to run, each word ended by a zero byte.
        files.Script("srun", "while [ \"$1\" != /opt/distrun ]; do shift; done; printf '%s\\0' \"$@\"");
        await File.WriteAllTextAsync(files["job.sbatch"], file);
        var start = new ProcessStartInfo("/bin/sh", [files["job.sbatch"]]) { RedirectStandardOutput = true };
        start.Environment["PATH"] = $"{files.Path}:{start.Environment["PATH"]}";
        using var shell = Process.Start(start)!;
        var printed = await shell.StandardOutput.ReadToEndAsync().DefaultTimeout();
        Assert.Equal(["/opt/distrun", .. Arguments], printed.Split('\0')[..^1]);
    }

    [Fact]
    public void Sbatch_NodesFromTo_AreSlurmsRange()
        => Assert.Contains("\n#SBATCH --nodes=2-4\n", JobFile.Write(JobFile.Sbatch, Content("x", 2, 4)), StringComparison.Ordinal);

    [Fact]
    public void JobSet_EveryArgument_IsInTheCommand()
    {
        var file = JobFile.Write(JobFile.JobSet, Content("/srv/Train_it.py", 2, 4));
        var line = Assert.Single(file.Split('\n'), text => text.TrimStart().StartsWith("command: ", StringComparison.Ordinal));
        var words = JsonSerializer.Deserialize<string[]>(line[line.IndexOf('[', StringComparison.Ordinal)..])!;

        // What the kubelet makes of them: $(NAME) is replaced, $$ is $ (k8s.io/kubernetes/third_party/forked/golang/expansion).
        Assert.Equal(["distrun", .. Arguments], words.Select(word => Regex.Replace(word, @"\$(\$|\((\w+)\))", match => match.Value == "$$" ? "$" : "replaced")));
        Assert.Contains("  name: train-it\n", file, StringComparison.Ordinal);
        Assert.Contains("completions: 4\n", file, StringComparison.Ordinal);
        Assert.Contains("value: \"2:4\"", file, StringComparison.Ordinal);
        Assert.Contains("value: \"train-it-node-0-0.train-it\"\n", file, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("7.py", "job-7")]
    [InlineData("__.py", "distrun")]
    [InlineData("a-very-long-name-of-a-program-that-goes-on-and-on.py", "a-very-long-name-of-a-program-that-goes")]
    public void JobSet_Name_IsADnsLabel(string program, string name)
        => Assert.Contains($"metadata:\n  name: {name}\n", JobFile.Write(JobFile.JobSet, Content(program, 1, 1)), StringComparison.Ordinal);

    /// <summary>As a YAML parser sees it, with the fields that the JobSet API requires.</summary>
    [PythonYamlFact]
    public async Task JobSet_AsYaml_HasTheShapeOfTheApi()
    {
        const string Check = """
            import json, sys, yaml
            job = yaml.safe_load(sys.stdin)
            assert (job["apiVersion"], job["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet"), job
            [replicated] = job["spec"]["replicatedJobs"]
            spec = replicated["template"]["spec"]
            assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] == 3, spec
            pod = spec["template"]["spec"]
            assert pod["restartPolicy"] == "Never", pod
            [container] = pod["containers"]
            assert all(isinstance(variable["value"], str) for variable in container["env"]), container
            json.dump(container["command"], sys.stdout)
            """;
        var start = new ProcessStartInfo(PythonYamlFactAttribute.Python, ["-c", Check]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        using var python = Process.Start(start)!;
        await python.StandardInput.WriteAsync(JobFile.Write(JobFile.JobSet, Content("train.py", 3, 3)));
        python.StandardInput.Close();
        var words = JsonSerializer.Deserialize<string[]>(await python.StandardOutput.ReadToEndAsync().DefaultTimeout())!;
        Assert.Equal(Arguments.Select(JobFile.KubernetesWord), words[1..]);
    }

    /// <summary>The option, from the command line to what is printed; nothing is started.</summary>
    [UnixFact]
    public async Task Emit_PrintsTheFileOfThisVeryCommand()
    {
        using var distrun = new Distrun();
        distrun.Environment["PET_ROLE"] = "trainer";
        var sbatch = await distrun.Run("--emit", "sbatch", "--nproc-per-node=2", "sh", "-c", "echo started; exit 3", "--emit", "jobset");
        Assert.Equal((0, ""), (sbatch.ExitCode, sbatch.Error));
        Assert.EndsWith(
            $" {Path.Combine(distrun.Folder, "distrun")} --nproc-per-node=2 sh -c 'echo started; exit 3' --emit jobset\n", sbatch.Output, StringComparison.Ordinal);

        var jobSet = await distrun.Run("--emit=jobset", "--nproc-per-node=2", "sh", "-c", "exit 3");
        Assert.Contains("command: [\"distrun\", \"--nproc-per-node=2\", \"sh\", \"-c\", \"exit 3\"]\n", jobSet.Output, StringComparison.Ordinal);
        Assert.Contains("- name: PET_ROLE\n                value: \"trainer\"\n", jobSet.Output, StringComparison.Ordinal);

        var refused = await distrun.Run("--emit", "pbs", "--nproc-per-node", "0", "sh");
        Assert.Equal((2, ""), (refused.ExitCode, refused.Output));
        Assert.Contains("distrun: --emit pbs is neither sbatch nor jobset; write one of them.\n", refused.Error, StringComparison.Ordinal);
        Assert.Contains("distrun: --nproc-per-node 0 is none of", refused.Error, StringComparison.Ordinal);
    }

    private static JobFileContent Content(string name, int minNodes, int maxNodes)
        => new(name, minNodes, maxNodes, ["/opt/distrun"], Arguments, new Dictionary<string, string>());

    /// <summary>A fact that needs Debian's python3-yaml.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    private sealed class PythonYamlFactAttribute : FactAttribute
    {
        public const string Python = "/usr/bin/python3";

        public PythonYamlFactAttribute()
            => Skip = Directory.Exists("/usr/lib/python3/dist-packages/yaml") ? null : $"{Python} has no yaml (Debian: python3-yaml).";
    }
}
