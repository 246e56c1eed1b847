using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>Starts the programs of one job: what each finds in its environment, is told in private, and where its output goes.</summary>
internal sealed class RankStarter
{
    private readonly bool _takesEnvelope;
    private readonly RankCommands _commands;
    private readonly ConsoleOutput _console;
    private readonly JobDirectory _job;
    private readonly Guardian? _guardian;
    private readonly UserInput _userInput = new();

    /// <param name="options">What the user asked for.</param>
    /// <param name="console">Where the programs write.</param>
    /// <param name="job">The job's directory.</param>
    /// <param name="guardian">Kills the programs if the launcher is killed, where there is one.</param>
    public RankStarter(LaunchOptions options, ConsoleOutput console, JobDirectory job, Guardian? guardian)
    {
        _takesEnvelope = options.Program.TakesEnvelope;
        _commands = new RankCommands(options);
        _console = console;
        _job = job;
        _guardian = guardian;
    }

    /// <inheritdoc cref="RankCommands.ShareNote"/>
    public string? ShareNote => _commands.ShareNote;

    /// <summary>Starts the run of the bundled worker that checks the input.</summary>
    /// <param name="worldSize">Ranks of the job.</param>
    /// <param name="watch">See <see cref="Worker"/>.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker StartPreflight(int worldSize, Action<Worker> watch)
    {
        return new Worker(0, 0, _commands.OfPreflight(worldSize, _job.Path), _guardian, _console, PassOn, envelope: null, watch);

        static (StreamRoute Out, StreamRoute Error) PassOn(TailBuffer tail)
            => (new StreamRoute { Console = ConsoleTarget.Out }, new StreamRoute { Console = ConsoleTarget.Error, Tail = tail });
    }

    /// <summary>Starts one rank, or tells one that has outlived the attempt before of this one.</summary>
    /// <param name="plan">What the ranks of this attempt share.</param>
    /// <param name="localRank">Which one.</param>
    /// <param name="watch">See <see cref="Worker"/>.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker Start(AttemptPlan plan, int localRank, Action<Worker> watch)
    {
        var environment = plan.Placement.ToEnvironment(localRank) with
        {
            RestartCount = plan.RestartCount,
            ErrorFile = plan.Logs.ErrorFileOf(localRank),
            StoreAddress = plan.StoreAddress,
            RuntimeDirectory = _job.Path,
        };
        var rank = environment.Rank;
        var takesInput = _takesEnvelope && rank == 0;
        var envelope = _takesEnvelope
            ? plan.Identity!.Result.ToEnvelope(plan.RestartCount, rank, userInputIsTerminal: takesInput && StandardInput.IsTerminal)
            : null;
        if (plan.Outliving.TryGetValue(localRank, out var kept)
            && kept.TryRenew(envelope! with { StoreAddress = environment.StoreAddress, ErrorFile = environment.ErrorFile })) // it takes envelopes, or would not be kept
        {
            return kept;
        }

        return new Worker(
            rank, localRank, _commands.Of(environment), _guardian, _console, tail => plan.Output.RoutesOf(localRank, tail), envelope, watch)
        {
            Input = takesInput ? _userInput : null,
        };
    }
}
