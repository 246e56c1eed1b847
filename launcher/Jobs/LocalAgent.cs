using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// Runs one job on this machine: starts the ranks, supervises them, tells what became of them. Everything is decided on the thread that
/// calls <see cref="Run"/>, which also starts the programs and therefore stays until the last of them is gone.
/// </summary>
internal sealed class LocalAgent : IDisposable
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan KillWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan NotesWait = TimeSpan.FromSeconds(1);

    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly Mailbox _mailbox = new();
    private readonly string _host = HostName.Get();
    private readonly JobDirectory _job;
    private readonly Task<MasterPort> _port;
    private readonly Guardian? _guardian;
    private readonly DeathWatcher _deaths;
    private readonly TerminationSignals _signals;
    private readonly RankStarter _starter;
    private WorkerGroup? _group;
    private string? _failure; // of the launcher itself
    private Task _notes = Task.CompletedTask;
    private int _signalCount;
    private int _isConcluding;

    /// <exception cref="JobDirectoryException">There is no place for the job's directory.</exception>
    public LocalAgent(LaunchOptions options, ConsoleOutput console)
    {
        _options = options;
        _console = console;
        _job = JobDirectory.Create();
        _port = Task.Run(ChoosePort); // Loading the framework's sockets takes a while; the rest of the start goes on beside it.
        _guardian = StartGuardian();
        _deaths = DeathWatcher.Create();
        _signals = new TerminationSignals(OnSignal);
        _starter = new RankStarter(options, console, _job, _guardian, _host);
    }

    private int WorldSize => _options.LocalWorldSize;

    /// <summary>Runs the job and returns the exit code of the launcher.</summary>
    /// <exception cref="JobDirectoryException">A folder or port for the job cannot be had.</exception>
    public int Run() => _options.Program.IsBundled && WorldSize > 1 && Preflight() is { } exitCode ? exitCode : RunRanks();

    public void Dispose()
    {
        _signals.Dispose();
        _deaths.Dispose();
        if (!OperatingSystem.IsWindows())
        {
            _guardian?.Dispose();
        }

        _job.Dispose();
    }

    private Guardian? StartGuardian()
    {
        if (OperatingSystem.IsWindows())
        {
            return null;
        }

        try
        {
            return Guardian.Start(_job.Path);
        }
        catch (StartException exception)
        {
            Note($"/bin/sh cannot be started ({exception.Message}); if distrun itself is killed with SIGKILL, "
                + "programs other than the bundled worker may live on.");
            return null;
        }
    }

    private MasterPort ChoosePort()
    {
        var isTaken = _options.MasterAddress is "127.0.0.1" or "localhost" && !MasterPort.IsFree(_options.MasterPort);
        return _options.MasterPort == 0 || isTaken ? MasterPort.Claim(_job.Parent) : MasterPort.Given(_options.MasterPort);
    }

    /// <summary>
    /// Has the bundled worker check its input once before any rank is started, so that a mistake is told once and not by every rank. One
    /// rank alone checks for itself.
    /// </summary>
    /// <returns>The exit code to end with; <see langword="null"/> to go on.</returns>
    private int? Preflight()
    {
        using var group = NewGroup(errorFiles: null);
        group.Start(_ => _starter.StartPreflight(), count: 1);
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
            Say($"The worker that checks the input before any rank is started failed (exitcode {end.TorchCode}).");
        }

        return end.ShellCode;
    }

    private int RunRanks()
    {
        using var port = _port.GetAwaiter().GetResult();
        if (_options.MasterPort != 0 && _options.MasterPort != port.Number)
        {
            Note($"port {_options.MasterPort} is in use; MASTER_PORT is {port.Number} instead.");
        }

        var errorFiles = ErrorFiles.Create(_options.LogDirectory, _options.RunId, _job, WorldSize);
        if (_starter.ShareCores() is { } threads && !_options.Program.IsBundled)
        {
            // The bundled worker shares the cores out by itself, and says so.
            var share = $"{Environment.ProcessorCount} cores / {WorldSize} ranks";
            Note($"OMP_NUM_THREADS={threads} for each rank ({share}); set it to choose another number.");
        }

        if (_starter.NeedsStore)
        {
            StartStore();
        }

        using var group = NewGroup(errorFiles);
        group.Start(rank => _starter.Start(rank, port.Number, errorFiles), WorldSize);
        ThreadPool.UnsafeQueueUserWorkItem(static job => job.RemoveStale(), _job, preferLocal: false);
        var supervisor = group.Supervise(TellLongTeardown);
        return Conclude(group, supervisor, errorFiles);
    }

    private WorkerGroup NewGroup(ErrorFiles? errorFiles)
        => _group = new WorkerGroup(_mailbox, _deaths, new SupervisorLimits(_options.ShutdownTimeout, Settle, KillWait), errorFiles);

    /// <summary>Starts the store beside the ranks, which knock until it is there.</summary>
    private void StartStore()
    {
        var start = Task.Run(async () =>
        {
            var (jobId, secret) = await _starter.GetIdentity();
            await StoreServer.StartAsync(_starter.StorePath, jobId, secret);
        });
        start.ContinueWith(
            failed => _mailbox.Post(() =>
            {
                _failure = failed.Exception!.GetBaseException().Message;
                _group!.OnLauncherFailure();
            }),
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted,
            TaskScheduler.Default);
    }

    /// <summary>All ranks have ended, or cannot be ended: tells what there is to tell.</summary>
    private int Conclude(WorkerGroup group, Supervisor supervisor, ErrorFiles errorFiles)
    {
        WaitForOutput(group, supervisor);
        foreach (var rank in supervisor.Alive)
        {
            Say($"rank {rank} (pid {group.Workers[rank].Process.Id}) does not end although it was killed; it is left behind.");
        }

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
            Say(_failure);
            return ExitCodes.Failure;
        }

        if (FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral) is not { } analysis)
        {
            return ExitCodes.Success;
        }

        // A bundled worker that refuses its input has said why, and what it said needs no report.
        if (!(_options.Program.IsBundled && analysis.RootCause.End.ExitCode == ExitCodes.BadInput))
        {
            _console.Say(FailureReport.Format(_options.Program.Title, _host, analysis, failure => DetailsOf(failure, group, errorFiles)));
        }

        return analysis.RootCause.End.ShellCode;
    }

    private void WaitForOutput(WorkerGroup group, Supervisor supervisor)
    {
        // From here on a signal ends the launcher where it stands: nothing runs any more, and what keeps it is a console that takes nothing.
        Interlocked.Exchange(ref _isConcluding, 1);
        if (Volatile.Read(ref _signalCount) > 1)
        {
            return;
        }

        foreach (var worker in group.Workers.Where(worker => !supervisor.Alive.Contains(worker.Rank)))
        {
            worker.WaitForOutput();
        }

        _notes.Wait(NotesWait);
    }

    private static RankDetails DetailsOf(RankExit failure, WorkerGroup group, ErrorFiles errorFiles)
    {
        var hasFile = failure.Error is not null || failure.ErrorProblem is not null;
        var path = !hasFile ? FailureReport.NotAvailable : errorFiles.AreKept ? errorFiles.Of(failure.Rank)! : "<kept only with --log-dir>";
        return new RankDetails(path, group.Workers[failure.Rank].Tail.Lines());
    }

    private int FailToStart(StartException failure)
    {
        Say($"{_options.Program.Path} cannot be started: {failure.Message}.");
        return failure.IsProgramsFault ? ExitCodes.BadInput : ExitCodes.Failure;
    }

    private void OnSignal(int signal)
    {
        Interlocked.Increment(ref _signalCount);
        if (Volatile.Read(ref _isConcluding) == 1)
        {
            Dispose();
            Environment.Exit(ExitCodes.ForSignal(signal));
        }

        _mailbox.Post(() => _group?.OnSignal(signal));
    }

    private void TellLongTeardown(IReadOnlyCollection<int> alive)
    {
        var limit = string.Create(CultureInfo.InvariantCulture, $"{_options.ShutdownTimeout.TotalSeconds:0.###} s");
        Note($"waiting for rank {string.Join(", ", alive)} to end, until SIGKILL after {limit}; Ctrl-C kills at once.");
    }

    /// <summary>Says something while the job runs. The agent's thread does not wait for the console, which may take its time.</summary>
    private void Note(string text)
        => _notes = _notes.ContinueWith(_ => Say(text), TaskScheduler.Default);

    private void Say(string text) => _console.Say($"distrun: {text}");
}
