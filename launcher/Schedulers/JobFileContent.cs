using System.Collections;
using System.Globalization;
using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Schedulers;

/// <summary>What a job file is made of.</summary>
/// <param name="Name">What the job is called: the program, as the failure report names it.</param>
/// <param name="MinNodes">Nodes at least.</param>
/// <param name="MaxNodes">Nodes at most.</param>
/// <param name="LauncherCommand">[word] that starts distrun on this machine.</param>
/// <param name="Arguments">[word] of distrun as the user gave them, without --emit.</param>
/// <param name="Variables">The PET_ variables that the user has set, which are options too.</param>
internal sealed record JobFileContent(
    string Name, int MinNodes, int MaxNodes, IReadOnlyList<string> LauncherCommand, IReadOnlyList<string> Arguments, IReadOnlyDictionary<string, string> Variables)
{
    /// <summary>The content for the command that is being read.</summary>
    /// <param name="options">What it says.</param>
    /// <param name="arguments">All of it.</param>
    /// <param name="programLength">How many of these, at the end, are the program and its arguments.</param>
    /// <param name="environment">The environment.</param>
    public static JobFileContent Of(LaunchOptions options, IReadOnlyList<string> arguments, int programLength, IDictionary environment)
    {
        var kept = new List<string>();
        for (var index = 0; index < arguments.Count - programLength; index++)
        {
            if (arguments[index] == LauncherOption.Emit.Name)
            {
                index++; // its value
            }
            else if (!arguments[index].StartsWith(LauncherOption.Emit.Name + "=", StringComparison.Ordinal))
            {
                kept.Add(arguments[index]);
            }
        }

        kept.AddRange(arguments.Skip(arguments.Count - programLength));
        return new JobFileContent(
            options.Program.Title,
            options.Nodes.MinNodes,
            options.Nodes.MaxNodes,
            ThisLauncher(),
            kept,
            environment.Cast<DictionaryEntry>().Where(variable => ((string)variable.Key).StartsWith("PET_", StringComparison.Ordinal))
                .ToDictionary(variable => (string)variable.Key, variable => (string?)variable.Value ?? ""));
    }

    /// <summary>The number of nodes, or the least and the most with a character in between.</summary>
    public string Nodes(char between)
        => MinNodes == MaxNodes
            ? MinNodes.ToString(CultureInfo.InvariantCulture)
            : string.Create(CultureInfo.InvariantCulture, $"{MinNodes}{between}{MaxNodes}");

    // Its own executable, or the dotnet that runs its assembly.
    private static string[] ThisLauncher()
    {
        var process = Environment.ProcessPath!;
        return Path.GetFileNameWithoutExtension(process) == "dotnet" ? [process, "exec", typeof(JobFileContent).Assembly.Location] : [process];
    }
}
