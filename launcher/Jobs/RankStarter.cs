using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>Starts the programs of one job: what each finds in its environment, is told in private, and where its output goes.</summary>
internal sealed class RankStarter
{
    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly JobDirectory _job;
    private readonly Guardian? _guardian;
    private readonly WorkerEnvironment _environment = new(Environment.GetEnvironmentVariables());
    private readonly UserInput _userInput = new();

    /// <param name="options">What the user asked for.</param>
    /// <param name="console">Where the programs write.</param>
    /// <param name="job">The job's directory.</param>
    /// <param name="guardian">Kills the programs if the launcher is killed, where there is one.</param>
    public RankStarter(LaunchOptions options, ConsoleOutput console, JobDirectory job, Guardian? guardian)
    {
        _options = options;
        _console = console;
        _job = job;
        _guardian = guardian;
    }

    /// <inheritdoc cref="WorkerEnvironment.ShareCores"/>
    public int? ShareCores() => _environment.ShareCores(Environment.ProcessorCount, _options.LocalWorldSize);

    /// <summary>Starts the run of the bundled worker that checks the input.</summary>
    /// <param name="worldSize">Ranks of the job.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker StartPreflight(int worldSize)
    {
        var command = Command(0, _environment.OfPreflight(worldSize, _job.Path), ChildInput.Empty);
        return new Worker(0, 0, command, _guardian, _console, PassOn, envelope: null);

        static (StreamRoute Out, StreamRoute Error) PassOn(TailBuffer tail)
            => (new StreamRoute { Console = ConsoleTarget.Out }, new StreamRoute { Console = ConsoleTarget.Error, Tail = tail });
    }

    /// <summary>Starts one rank.</summary>
    /// <param name="plan">What the ranks of this attempt share.</param>
    /// <param name="localRank">Which one.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker Start(AttemptPlan plan, int localRank)
    {
        var isBundled = _options.Program.IsBundled;
        var environment = plan.Placement.ToEnvironment(localRank) with
        {
            RoleName = _options.Role,
            RestartCount = plan.RestartCount,
            MaxRestarts = _options.Restarts.MaxRestarts,
            RunId = _options.RunId,
            ErrorFile = plan.Logs.ErrorFileOf(localRank),
            StoreAddress = plan.StoreAddress,
            RuntimeDirectory = _job.Path,
            HasEnvelope = isBundled,
        };
        var rank = environment.Rank;
        var variables = _environment.Of(_options.VirtualLocalRank ? environment with { LocalRank = 0 } : environment);
        if (_options.VirtualLocalRank)
        {
            variables[Gpus.VisibleDevices] = Gpus.DeviceOf(localRank, variables.GetValueOrDefault(Gpus.VisibleDevices));
        }

        var takesInput = isBundled && rank == 0;
        var envelope = isBundled
            ? plan.Identity!.Result.ToEnvelope(plan.RestartCount, rank, userInputIsTerminal: takesInput && StandardInput.IsTerminal)
            : null;
        var command = Command(localRank, variables, isBundled ? ChildInput.Pipe : ChildInput.Inherited);
        var worker = new Worker(rank, localRank, command, _guardian, _console, tail => plan.Output.RoutesOf(localRank, tail), envelope);
        worker.ConnectInput(takesInput ? _userInput : null);
        return worker;
    }

    private ChildCommand Command(int localRank, Dictionary<string, string> variables, ChildInput input)
    {
        if (_options.Program.IsBundled)
        {
            // Its host looks for the runtime by itself; it is to find the one that the launcher runs on.
            variables.TryAdd("DOTNET_ROOT", WorkerProgramFinder.DotnetFolder);
        }

        return new ChildCommand(_options.Program.Path, _options.Program.ArgumentsOf(localRank), variables, input);
    }
}
