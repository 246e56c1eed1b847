using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

var console = ConsoleOutput.OpenStandard();
var (options, exitCode) = LauncherCommand.Read(args, console);
if (options is null)
{
    return exitCode;
}

if (options.DryRun)
{
    console.Say(ConsoleTarget.Out, LaunchPlan.Format(options));
    return ExitCodes.Success;
}

if (options.PlainPlatform)
{
    Platform.UsePlain();
}

if (!OperatingSystem.IsWindows())
{
    Signals.PrepareLauncher();
    Libc.KeepInheritedDescriptors();
    if (Platform.UsesLinux)
    {
        Orphans.Adopt();
    }
}

try
{
    using var agent = new LocalAgent(options, console);
    return agent.Run();
}
catch (JobDirectoryException exception)
{
    console.Say($"distrun: {exception.Message}");
    return ExitCodes.Failure;
}
