using System.Globalization;
using System.Text;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Reporting;

/// <summary>What --dry-run prints: all that is decided before the first rank is started, and nothing that only the start decides.</summary>
internal static class LaunchPlan
{
    // What only the start makes: the job's own folder, and a free port.
    private const string JobFolder = "<folder of the job>";
    private const int AnyPort = 0;

    /// <summary>Describes the job, in lines.</summary>
    public static string Format(LaunchOptions options)
    {
        var commands = new RankCommands(options);
        var own = Environment.GetEnvironmentVariables();
        var placement = RankPlacement.OfOneNode(options.LocalWorldSize, options.MasterAddress, options.MasterPort);
        var text = new StringBuilder();
        Line($"{options.LocalWorldSize} ranks on {HostName.Get()}, of {options.Nodes.MaxNodes} node(s); nothing is started");
        Line($"program: {Quote(options.Program.Path, options.Program.Arguments)}");
        Line($"folder: {Environment.CurrentDirectory}");
        Line($"restarts: {options.Restarts.MaxRestarts}; from SIGTERM to SIGKILL {options.ShutdownTimeout.TotalSeconds:0.###} s");
        Line($"logs: {Logs(options.Logs)}");
        if (commands.ShareNote is { } share)
        {
            Line($"cores: {share}");
        }

        foreach (var line in options.Mesh?.Map() ?? [])
        {
            Line($"mesh: {line}");
        }

        for (var localRank = 0; localRank < options.LocalWorldSize; localRank++)
        {
            var command = commands.Of(placement.ToEnvironment(localRank) with { RuntimeDirectory = JobFolder });
            Line($"rank {placement.FirstRank + localRank} (local rank {localRank}):");
            Line($"  command: {Quote(command.Path, command.Arguments)}");
            Line($"  cpus: {(command.Cpus is null ? "all that distrun may use" : RankList.Format([.. command.Cpus]))}");
            Line($"  gpus: {Devices(command.Environment)}");
            foreach (var (name, value) in command.Environment.OrderBy(variable => variable.Key, StringComparer.Ordinal))
            {
                if (value.Length > 0 && own[name] as string != value)
                {
                    Line($"  {name}={(name == "MASTER_PORT" && options.MasterPort == AnyPort ? "<a free one>" : value)}");
                }
            }
        }

        return text.ToString().TrimEnd('\n');

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static string Logs(LogOptions logs) => logs.Directory switch
    {
        null when logs.NeedsFiles => "a new folder in the temporary one",
        null => "none; error files go with the job",
        LogOptions.NoDirectory => "none",
        var folder => Path.GetFullPath(folder),
    };

    private static string Devices(IReadOnlyDictionary<string, string> environment)
        => environment.TryGetValue(Gpus.VisibleDevices, out var devices) ? $"{Gpus.VisibleDevices}={devices}" : "all that are visible";

    /// <summary>As a shell would read it.</summary>
    private static string Quote(string path, IReadOnlyList<string> arguments)
        => string.Join(' ', arguments.Prepend(path).Select(word =>
            word.Length > 0 && word.All(character => char.IsAsciiLetterOrDigit(character) || "-_./=:,+@%".Contains(character, StringComparison.Ordinal))
                ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'"));
}
