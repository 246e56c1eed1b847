using System.Reflection;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.CommandLine;

/// <summary>The command line of distrun: what to launch, or what to say instead.</summary>
internal static class LauncherCommand
{
    /// <summary>
    /// Reads the command line and the environment; prints help, the version or every mistake where that is all there is to do.
    /// </summary>
    /// <returns>What to launch, or the exit code to end with.</returns>
    public static (LaunchOptions? Options, int ExitCode) Read(IReadOnlyList<string> arguments, ConsoleOutput console)
    {
        var split = new SplitCommandLine(arguments);
        if (split.WantsHelp || split.WantsVersion)
        {
            console.Say(ConsoleTarget.Out, split.WantsHelp ? Help() : $"distrun {Version}");
            return (null, ExitCodes.Success);
        }

        List<string> problems = [.. split.Problems];
        var reader = new LaunchOptionsReader(new OptionValues(split.ValueOf, Environment.GetEnvironmentVariable, problems));
        var finder = new WorkerProgramFinder(AppContext.BaseDirectory, Environment.GetEnvironmentVariable);
        var program = split.HasUnknownOption ? null : reader.FindProgram(split.Program, finder);
        var options = reader.Read(program);
        if (problems.Count == 0)
        {
            foreach (var note in options!.Notes)
            {
                console.Say($"distrun: {note}");
            }

            return (options, ExitCodes.Success);
        }

        foreach (var problem in problems)
        {
            console.Say($"distrun: {problem}");
        }

        console.Say("distrun: Nothing was started. distrun --help lists the options.");
        return (null, ExitCodes.BadInput);
    }

    private static string Version
        => typeof(LauncherCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    private static string Help()
    {
        var width = LauncherOption.Groups.SelectMany(group => group.Options).Max(option => Name(option).Length) + 1;
        var groups = LauncherOption.Groups.Select(group => $"{group.Title}\n"
            + string.Join('\n', group.Options.Select(option => $"  {Name(option).PadRight(width)}{option.Description}")));
        return $$"""
            distrun [options] program [arguments of the program]

            Starts one program as the ranks of a job, supervises them, and ends with the exit code of the rank that failed first.

            The program is a name on the PATH, a path (./prog), script.py (run with python3), assembly.dll (run with dotnet), or
            worker, the bundled Llama worker. Everything after its name belongs to it; ${local_rank} there becomes the rank's number.

            Options, each also spelled with _ for -, and with PET_<NAME> for its default (PET_NPROC_PER_NODE=2):
            {{string.Join("\n\n", groups)}}

            Other
              {{"-h, --help".PadRight(width)}}Print this.
              {{"--version".PadRight(width)}}Print the version.

            Examples:
              distrun --nproc-per-node 2 worker complete --config configs/demo.json
              distrun --nproc-per-node 4 ./my_program --its-own-option
            """;
    }

    private static string Name(LauncherOption option)
        => option.Alias is { } alias ? $"{alias}, {option.Name}" : $"{option.Name} {option.ValueName}";
}
