using System.Globalization;
using System.Security.Cryptography;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// Runs one job on this machine: starts the ranks, supervises them, tells what became of them. Everything is decided on the thread that calls
/// <see cref="Run"/>, which also starts the programs and therefore stays until the last of them is gone.
/// </summary>
internal sealed class LocalAgent : IDisposable
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan KillWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan NotesWait = TimeSpan.FromSeconds(1);

    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly Mailbox _mailbox = new();
    private readonly JobDirectory _job;
    private readonly Guardian? _guardian;
    private readonly DeathWatcher _deaths;
    private readonly TerminationSignals _signals;
    private readonly WorkerEnvironment _environment = new(Environment.GetEnvironmentVariables());
    private readonly string _host = HostName.Get();
    private readonly Task<JobIdentity>? _identity; // where the ranks take an envelope
    private readonly Task<MasterPort> _port;
    private WorkerGroup? _group;
    private string? _failure; // of the launcher itself
    private Task _notes = Task.CompletedTask;
    private volatile bool _isConcluding;

    /// <exception cref="JobDirectoryException">There is no place for the job's directory.</exception>
    /// <exception cref="StartException">The system cannot start a program.</exception>
    public LocalAgent(LaunchOptions options, ConsoleOutput console)
    {
        _options = options;
        _console = console;
        _job = JobDirectory.Create();

        // The two parts that load much of the framework (cryptography, sockets) do so beside the rest of the start.
        _identity = options.Program.IsBundled ? Task.Run(JobIdentity.Create) : null;
        _port = Task.Run(ChoosePort);
        _guardian = OperatingSystem.IsWindows() ? null : Guardian.Start(_job.Path);
        _deaths = DeathWatcher.Create();
        _signals = new TerminationSignals(OnSignal);
    }

    private int WorldSize => _options.LocalWorldSize;

    private bool HasSeveralBundledRanks => _options.Program.IsBundled && WorldSize > 1;

    private string StorePath => Path.Combine(_job.Path, "store.sock");

    /// <summary>Runs the job and returns the exit code of the launcher.</summary>
    /// <exception cref="JobDirectoryException">A folder or port for the job cannot be had.</exception>
    public int Run() => HasSeveralBundledRanks && Preflight() is { } exitCode ? exitCode : RunRanks();

    public void Dispose()
    {
        _signals.Dispose();
        _deaths.Dispose();
        if (!OperatingSystem.IsWindows())
        {
            _guardian!.Dispose();
        }

        _job.Dispose();
    }

    /// <summary>
    /// Has the bundled worker check its input once before any rank is started, so that a mistake is told once and not by every rank. One rank alone
    /// checks for itself.
    /// </summary>
    /// <returns>The exit code to end with; <see langword="null"/> to go on.</returns>
    private int? Preflight()
    {
        var command = Command(0, _environment.OfPreflight(WorldSize, _job.Path), ChildInput.Empty);
        var output = new WorkerOutput(ConsoleTarget.Out, OutPrefix: null, ErrorPrefix: null);
        using var group = NewGroup(errorFiles: null);
        group.Start(rank => new Worker(rank, command, _guardian, _console, output, envelope: null), count: 1);
        var supervisor = group.Supervise(TellLongTeardown);
        if (group.StartFailure is { } failure)
        {
            return FailToStart(failure);
        }

        group.Workers[0].WaitForOutput();
        if (supervisor.StoppedBySignal is { } signal)
        {
            return ExitCodes.ForSignal(signal);
        }

        var end = supervisor.Exits[0].End;
        if (end.IsSuccess)
        {
            // A check that prints something has done all that was asked for (--help).
            return group.Workers[0].HasWritten ? ExitCodes.Success : null;
        }

        if (end.ExitCode != ExitCodes.BadInput)
        {
            _console.Say(string.Create(
                CultureInfo.InvariantCulture, $"distrun: The worker that checks the input before any rank is started failed (exitcode {end.TorchCode})."));
        }

        return end.ShellCode;
    }

    private int RunRanks()
    {
        using var port = _port.GetAwaiter().GetResult();
        if (_options.MasterPort != 0 && _options.MasterPort != port.Number)
        {
            Note(string.Create(CultureInfo.InvariantCulture, $"port {_options.MasterPort} is in use; MASTER_PORT is {port.Number} instead."));
        }

        var errorFiles = ErrorFiles.Create(_options.LogDirectory, _options.RunId, _job, WorldSize);
        ShareCores();
        if (HasSeveralBundledRanks)
        {
            StartStore();
        }

        using var group = NewGroup(errorFiles);
        group.Start(rank => StartRank(rank, port.Number, errorFiles), WorldSize);
        ThreadPool.UnsafeQueueUserWorkItem(static job => job.RemoveStale(), _job, preferLocal: false);
        var supervisor = group.Supervise(TellLongTeardown);
        return Conclude(group, supervisor, errorFiles);
    }

    private WorkerGroup NewGroup(ErrorFiles? errorFiles)
        => _group = new WorkerGroup(_mailbox, _deaths, new SupervisorLimits(_options.ShutdownTimeout, Settle, KillWait), errorFiles);

    private MasterPort ChoosePort()
    {
        var isTaken = _options.MasterAddress is "127.0.0.1" or "localhost" && !MasterPort.IsFree(_options.MasterPort);
        return _options.MasterPort == 0 || isTaken ? MasterPort.Claim(_job.Parent) : MasterPort.Given(_options.MasterPort);
    }

    private void ShareCores()
    {
        // The bundled worker shares the cores out by itself, and says so.
        if (_environment.ShareCores(Environment.ProcessorCount, WorldSize) is { } threads && !_options.Program.IsBundled)
        {
            Note(string.Create(
                CultureInfo.InvariantCulture,
                $"OMP_NUM_THREADS={threads} for each rank ({Environment.ProcessorCount} cores / {WorldSize} ranks); set it to choose another number."));
        }
    }

    /// <summary>Starts the store beside the ranks, which knock until it is there.</summary>
    private void StartStore()
        => Task.Run(async () => await StoreServer.StartAsync(StorePath, (await _identity!).JobId, (await _identity).Secret)).ContinueWith(
            failed => _mailbox.Post(() =>
            {
                _failure = failed.Exception!.GetBaseException().Message;
                _group!.OnLauncherFailure();
            }),
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted,
            TaskScheduler.Default);

    private Worker StartRank(int rank, int masterPort, ErrorFiles errorFiles)
    {
        var isBundled = _options.Program.IsBundled;
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
            StoreAddress = HasSeveralBundledRanks ? $"unix:{StorePath}" : null,
            RuntimeDirectory = _job.Path,
            HasEnvelope = isBundled,
        };
        var isInputUsed = isBundled && rank == 0;
        var envelope = _identity?.Result.ToEnvelope(rank, userInputIsTerminal: isInputUsed && StandardInput.IsTerminal);
        var command = Command(rank, _environment.Of(environment), isBundled ? ChildInput.Pipe : ChildInput.Inherited);
        var worker = new Worker(rank, command, _guardian, _console, OutputOf(rank), envelope);
        worker.ConnectInput(isInputUsed ? StandardInput.Open() : null);
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

    private int Conclude(WorkerGroup group, Supervisor supervisor, ErrorFiles errorFiles)
    {
        _isConcluding = true;
        foreach (var worker in group.Workers.Where(worker => !supervisor.Alive.Contains(worker.Rank)))
        {
            worker.WaitForOutput();
        }

        _notes.Wait(NotesWait);
        foreach (var rank in supervisor.Alive)
        {
            var id = group.Workers[rank].Process.Id;
            _console.Say(string.Create(CultureInfo.InvariantCulture, $"distrun: rank {rank} (pid {id}) does not end although it was killed; it is left behind."));
        }

        var analysis = FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral);
        if (supervisor.StoppedBySignal is { } signal)
        {
            return ExitCodes.ForSignal(signal);
        }

        if (group.StartFailure is { } startFailure)
        {
            return FailToStart(startFailure);
        }

        if (_failure is not null)
        {
            _console.Say($"distrun: {_failure}");
            return ExitCodes.Failure;
        }

        if (analysis is null)
        {
            return supervisor.Alive.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
        }

        // A bundled worker that refuses its input has said why, and what it said needs no report.
        if (!(_options.Program.IsBundled && analysis.RootCause.End.ExitCode == ExitCodes.BadInput))
        {
            _console.Say(FailureReport.Format(_options.Program.Title, _host, analysis, failure => DetailsOf(failure, group, errorFiles)));
        }

        return analysis.RootCause.End.ShellCode;
    }

    private static RankDetails DetailsOf(RankExit failure, WorkerGroup group, ErrorFiles errorFiles)
    {
        var hasFile = failure.Error is not null || failure.ErrorProblem is not null;
        var path = !hasFile ? FailureReport.NotAvailable : errorFiles.AreKept ? errorFiles.Of(failure.Rank)! : "<kept only with --log-dir>";
        return new RankDetails(path, group.Workers[failure.Rank].Tail.Lines());
    }

    private int FailToStart(StartException failure)
    {
        _console.Say($"distrun: {_options.Program.Path} cannot be started: {failure.Message}.");
        return failure.IsProgramsFault ? ExitCodes.BadInput : ExitCodes.Failure;
    }

    private void OnSignal(int signal)
    {
        if (_isConcluding)
        {
            // Nothing runs any more; what keeps the launcher is a console that does not take its output.
            Dispose();
            Environment.Exit(ExitCodes.ForSignal(signal));
        }

        _mailbox.Post(() => _group?.OnSignal(signal));
    }

    private void TellLongTeardown(IReadOnlyCollection<int> alive)
        => Note(string.Create(
            CultureInfo.InvariantCulture,
            $"waiting for rank {string.Join(", ", alive)} to end, until SIGKILL after {_options.ShutdownTimeout.TotalSeconds:0.###} s; Ctrl-C kills at once."));

    /// <summary>Says something while the job runs. The agent's thread does not wait for the console, which may take its time.</summary>
    private void Note(string text)
        => _notes = _notes.ContinueWith(_ => _console.Say($"distrun: {text}"), TaskScheduler.Default);

    /// <summary>What the ranks of this job share and nobody else knows.</summary>
    private sealed record JobIdentity(string JobId, JobSecret Secret)
    {
        public static JobIdentity Create() => new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)), JobSecret.Create());

        public JobEnvelope ToEnvelope(int rank, bool userInputIsTerminal)
            => new(JobId, Secret, Epoch: 0, rank, Environment.ProcessId) { UserInputIsTerminal = userInputIsTerminal };
    }
}
