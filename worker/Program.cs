using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Worker.Options;
using Distributed.Worker.Running;

namespace Distributed.Worker;

/// <summary>The entry of a ranked process.</summary>
internal static class Program
{
    public static int Main(string[] arguments)
    {
        var started = Stopwatch.GetTimestamp();
        string? errorFile = null;
        try
        {
            var line = CommandLine.Parse(arguments);
            if (Environment.GetEnvironmentVariable("DISTRUN_PREFLIGHT") == "1")
            {
                Preflight(line);
            }
            else
            {
                var environment = RankEnvironment.FromProcess();
                errorFile = environment.ErrorFile;
                return Run(line, environment, started);
            }

            return ExitCodes.Success;
        }
        catch (Exception exception)
        {
            return Failure.Report(exception, errorFile);
        }
    }

    // Says all that is wrong with the input before any rank is started; reads neither standard input nor weights.
    private static void Preflight(CommandLine line)
    {
        if (line.PrintHelp is not null)
        {
            return;
        }

        switch (line.Command)
        {
            case OptionCatalog.Tokenize:
                _ = TokenizeCommand.Create(line);
                return;
            case OptionCatalog.Convert:
                _ = ConvertCommand.Create(line);
                return;
            case OptionCatalog.Inspect:
                _ = InspectCommand.Create(line);
                return;
            case OptionCatalog.Doctor:
                _ = DoctorCommand.Create(line);
                return;
        }

        var given = Environment.GetEnvironmentVariable("WORLD_SIZE");
        var worldSize = int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 1;
        var (command, preparation) = GenerationCommand.Prepare(line, worldSize);
        preparation.Dispose();
        command.Dispose();
    }

    private static int Run(CommandLine line, RankEnvironment environment, long started)
    {
        var link = LauncherLink.Attach(environment);
        var isFirst = environment.Rank == 0;
        if (line.PrintHelp is { } printHelp)
        {
            if (isFirst)
            {
                printHelp();
            }
        }
        else if (line.Command is not (OptionCatalog.Tokenize or OptionCatalog.Convert or OptionCatalog.Inspect or OptionCatalog.Doctor))
        {
            DrivingThread.Run(() => new RankProcess(environment, link, started).Run(line));
        }
        else if (isFirst)
        {
            return RunAlone(line, link);
        }

        return ExitCodes.Success;
    }

    // What needs no ranks is the first one's business.
    private static int RunAlone(CommandLine line, LauncherLink link)
    {
        switch (line.Command)
        {
            case OptionCatalog.Doctor:
                return DoctorCommand.Create(line).Run() ? ExitCodes.Success : ExitCodes.Failure;
            case OptionCatalog.Convert:
                ConvertCommand.Create(line).Run();
                break;
            case OptionCatalog.Inspect:
                InspectCommand.Create(line).Run(Console.Out);
                break;
            default:
                using (var output = Console.OpenStandardOutput())
                {
                    TokenizeCommand.Create(line).Run(link.UserInput, output);
                }

                break;
        }

        return ExitCodes.Success;
    }
}
