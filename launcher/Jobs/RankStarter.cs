using System.Security.Cryptography;
using Distributed.Collectives.Launching;
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
    private readonly string _host;
    private readonly WorkerEnvironment _environment = new(Environment.GetEnvironmentVariables());
    private readonly Task<JobIdentity>? _identity; // where the ranks take an envelope

    /// <param name="options">What the user asked for.</param>
    /// <param name="console">Where the programs write.</param>
    /// <param name="job">The job's directory.</param>
    /// <param name="guardian">Kills the programs if the launcher is killed, where there is one.</param>
    /// <param name="host">The name of this machine.</param>
    public RankStarter(LaunchOptions options, ConsoleOutput console, JobDirectory job, Guardian? guardian, string host)
    {
        _options = options;
        _console = console;
        _job = job;
        _guardian = guardian;
        _host = host;

        // Cryptography is the slowest part of the framework to load; it is not waited for before the first rank.
        _identity = options.Program.TakesEnvelope ? Task.Run(JobIdentity.Create) : null;
        StorePath = Path.Combine(job.Path, "store.sock");
    }

    /// <summary>Where the rendezvous store listens.</summary>
    public string StorePath { get; }

    /// <summary>Whether there is anything to meet for: the store serves those who know the job's secret.</summary>
    public bool NeedsStore => _options.Program.TakesEnvelope && WorldSize > 1;

    private int WorldSize => _options.LocalWorldSize;

    /// <inheritdoc cref="WorkerEnvironment.ShareCores"/>
    public int? ShareCores() => _environment.ShareCores(Environment.ProcessorCount, WorldSize);

    /// <summary>The job's id and secret, for the store.</summary>
    public async Task<(string JobId, JobSecret Secret)> GetIdentity()
    {
        var identity = await _identity!;
        return (identity.JobId, identity.Secret);
    }

    /// <summary>Starts the run of the bundled worker that checks the input.</summary>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker StartPreflight()
    {
        var command = Command(0, _environment.OfPreflight(WorldSize, _job.Path), ChildInput.Empty);
        var output = new WorkerOutput(ConsoleTarget.Out, OutPrefix: null, ErrorPrefix: null);
        return new Worker(0, command, _guardian, _console, output, envelope: null);
    }

    /// <summary>Starts one rank.</summary>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker Start(int rank, int masterPort, ErrorFiles errorFiles)
    {
        var takesEnvelope = _options.Program.TakesEnvelope;
        var environment = new RankEnvironment
        {
            Rank = rank,
            LocalRank = rank,
            WorldSize = WorldSize,
            LocalWorldSize = WorldSize,
            RoleName = _options.Role,
            RoleRank = rank,
            RoleWorldSize = WorldSize,
            MasterAddress = _options.MasterAddress,
            MasterPort = masterPort,
            RunId = _options.RunId,
            ErrorFile = errorFiles.Of(rank),
            StoreAddress = NeedsStore ? $"unix:{StorePath}" : null,
            RuntimeDirectory = _job.Path,
            HasEnvelope = takesEnvelope,
        };
        var takesInput = takesEnvelope && rank == 0;
        var envelope = _identity?.Result.ToEnvelope(rank, userInputIsTerminal: takesInput && StandardInput.IsTerminal);
        var command = Command(rank, _environment.Of(environment), takesEnvelope ? ChildInput.Pipe : ChildInput.Inherited);
        var worker = new Worker(rank, command, _guardian, _console, OutputOf(rank), envelope);
        worker.ConnectInput(takesInput ? StandardInput.Open() : null);
        return worker;
    }

    private ChildCommand Command(int rank, Dictionary<string, string> variables, ChildInput input)
    {
        if (_options.Program.IsBundled)
        {
            // Its host looks for the runtime by itself; it is to find the one that the launcher runs on.
            variables.TryAdd("DOTNET_ROOT", WorkerProgramFinder.DotnetFolder);
        }

        return new ChildCommand(_options.Program.Path, _options.Program.ArgumentsOf(rank), variables, input);
    }

    private WorkerOutput OutputOf(int rank)
    {
        var template = _options.PrefixTemplate ?? (WorldSize > 1 ? LinePrefix.DefaultTemplate : "");
        var prefix = LinePrefix.Format(template, _options.Role, rank, rank, _host);
        if (_options.Program.IsBundled)
        {
            // Rank 0's stdout carries the results and nothing else; all that is said goes to stderr.
            return rank == 0 ? new(ConsoleTarget.Out, OutPrefix: null, prefix) : new(ConsoleTarget.Error, prefix, prefix);
        }

        return WorldSize == 1 && prefix.Length == 0 ? new(ConsoleTarget.Out, null, null) : new(ConsoleTarget.Out, prefix, prefix);
    }

    /// <summary>What the ranks of this job share and nobody else knows.</summary>
    private sealed record JobIdentity(string JobId, JobSecret Secret)
    {
        public static JobIdentity Create() => new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)), JobSecret.Create());

        public JobEnvelope ToEnvelope(int rank, bool userInputIsTerminal)
            => new(JobId, Secret, Epoch: 0, rank, Environment.ProcessId) { UserInputIsTerminal = userInputIsTerminal };
    }
}
