using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Distributed.Launcher.Schedulers;

/// <summary>Prints the file with which a cluster runs this very command on its nodes (--emit).</summary>
internal static class JobFile
{
    public const string Sbatch = "sbatch";
    public const string JobSet = "jobset";

    private const string Launcher = "distrun";

    // A JobSet's name is part of its pods' names (name-node-0-index-suffix), which have at most 63 characters.
    private const int MaxJobSetNameLength = 40;

    private static readonly JsonSerializerOptions AsItIs = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The file of a kind, <see cref="Sbatch"/> or <see cref="JobSet"/>.</summary>
    public static string Write(string kind, JobFileContent content) => kind == Sbatch ? WriteSbatch(content) : WriteJobSet(content);

    /// <summary>
    /// A batch script: one task a node, because distrun starts the ranks; not bound to one core, which is what a task of one CPU gets.
    /// </summary>
    private static string WriteSbatch(JobFileContent content)
    {
        string[] program = [.. content.LauncherCommand, .. content.Arguments];
        return string.Create(
            CultureInfo.InvariantCulture,
            $"""
            #!/bin/sh
            #SBATCH --job-name={Plain(content.Name)}
            #SBATCH --nodes={content.Nodes('-')}
            #SBATCH --ntasks-per-node=1
            #SBATCH --exclusive
            #SBATCH --output=%x-%j.log
            # distrun finds the nodes, its place among them and a port in what srun tells it.
            exec srun --ntasks-per-node=1 --cpu-bind=none --kill-on-bad-exit=1 --wait=60 {string.Join(' ', program.Select(ShellWord))}
            """);
    }

    /// <summary>
    /// A JobSet (jobset.x-k8s.io/v1alpha2) of one indexed Job, a pod a node. The pods find node 0 by the name that the JobSet's service gives it.
    /// </summary>
    private static string WriteJobSet(JobFileContent content)
    {
        var name = DnsLabel(content.Name);
        string[] program = [Launcher, .. content.Arguments]; // In the image it is on the PATH, not where it is here.
        var command = string.Join(", ", program.Select(word => YamlString(KubernetesWord(word))));
        var variables = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["PET_MASTER_ADDR"] = $"{name}-node-0-0.{name}",
            ["PET_MASTER_PORT"] = "29500",
            ["PET_NNODES"] = content.Nodes(':'),
        };
        foreach (var (variable, value) in content.Variables)
        {
            variables[variable] = value;
        }

        var environment = string.Join('\n', variables.Select(pair => $"              - name: {pair.Key}\n                value: {YamlString(KubernetesWord(pair.Value))}"));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"""
            apiVersion: jobset.x-k8s.io/v1alpha2
            kind: JobSet
            metadata:
              name: {name}
            spec:
              failurePolicy:
                maxRestarts: 0
              replicatedJobs:
              - name: node
                replicas: 1
                template:
                  spec:
                    completionMode: Indexed
                    completions: {content.MaxNodes}
                    parallelism: {content.MaxNodes}
                    backoffLimit: 0
                    template:
                      spec:
                        restartPolicy: Never
                        containers:
                        - name: distrun
                          image: IMAGE # with distrun and the program in it
                          command: [{command}]
                          env:
            {environment}
            """);
    }

    /// <summary>A word of a POSIX shell that stands for exactly this text.</summary>
    internal static string ShellWord(string text)
        => text.Length > 0 && text.All(character => char.IsAsciiLetterOrDigit(character) || "-_./:=,@%+".Contains(character, StringComparison.Ordinal))
            ? text
            : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    // Kubernetes replaces $(NAME) in a command, and $$ by $.
    internal static string KubernetesWord(string text) => text.Replace("$", "$$", StringComparison.Ordinal);

    // JSON is YAML.
    private static string YamlString(string text) => JsonSerializer.Serialize(text, AsItIs);

    /// <summary>The name as sbatch takes it on a comment's line: without what could end it.</summary>
    private static string Plain(string name)
    {
        var plain = new string([.. Path.GetFileName(name).Where(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.')]);
        return plain.Length > 0 ? plain : Launcher;
    }

    /// <summary>The name as a label of RFC 1123: small letters, digits and inner dashes.</summary>
    private static string DnsLabel(string name)
    {
        var label = new StringBuilder();
        foreach (var character in Path.GetFileNameWithoutExtension(name))
        {
            label.Append(char.IsAsciiLetterOrDigit(character) ? char.ToLowerInvariant(character) : '-');
        }

        var text = label.ToString().Trim('-');
        text = text[..Math.Min(text.Length, MaxJobSetNameLength)].TrimEnd('-');
        return text.Length == 0 ? Launcher : char.IsAsciiDigit(text[0]) ? "job-" + text : text;
    }
}
