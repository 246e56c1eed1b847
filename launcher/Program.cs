using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

var console = ConsoleOutput.OpenStandard();
var (options, exitCode) = LauncherCommand.Read(args, console);
if (options is null)
{
    return exitCode;
}

if (!OperatingSystem.IsWindows())
{
    Signals.PrepareLauncher();
}

try
{
    using var agent = new LocalAgent(options, console);
    return agent.Run();
}
catch (Exception exception) when (exception is JobDirectoryException or StartException)
{
    console.Say($"distrun: {exception.Message}");
    return ExitCodes.Failure;
}
