using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Hangs;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// Runs one job on this machine: starts the ranks, supervises them, starts them again where that was asked for, tells what became of them.
/// Everything is decided on the thread that calls <see cref="Run"/>, which also starts the programs and therefore stays until the last of
/// them is gone.
/// </summary>
internal sealed partial class LocalAgent : IDisposable
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan KillWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan NotesWait = TimeSpan.FromSeconds(1);

    // What a signal finds: see WaitForOutput.
    private const int Running = 0;
    private const int Concluding = 1;
    private const int Leaving = 2;

    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly Mailbox _mailbox = new();
    private readonly string _host = HostName.Get();
    private readonly JobDirectory _job;
    private readonly JobLogs _logs;
    private readonly RestartPolicy _restarts;
    private readonly Guardian? _guardian;
    private readonly DeathWatcher _deaths;
    private readonly SignalHandlers _signals;
    private readonly JobEvents _events;
    private readonly RankStarter _starter;
    private Task<MasterPort> _port; // of the next attempt
    private Task<JobIdentity>? _identity; // of the next attempt, where the ranks take an envelope
    private WorkerGroup? _group;
    private Task _notes = Task.CompletedTask;
    private int? _stopSignal; // the first that asked the launcher to end, known to the agent's thread
    private int _signalCount;
    private int _state = Running;

    /// <exception cref="JobDirectoryException">There is no place for the job's directory.</exception>
    public LocalAgent(LaunchOptions options, ConsoleOutput console)
    {
        _options = options;
        _console = console;
        _events = new JobEvents(options, console, _host);
        _job = JobDirectory.Create();
        _port = Task.Run(ChoosePort); // Loading the framework's sockets takes a while; the rest of the start goes on beside it.
        _identity = options.Program.TakesEnvelope ? Task.Run(JobIdentity.Create) : null;
        _guardian = StartGuardian();
        _deaths = DeathWatcher.Create();
        _signals = new SignalHandlers(options.SignalsToHandle, OnSignal, Forward);
        _logs = new JobLogs(options.Logs, options.RunId, _job);
        _restarts = new RestartPolicy(options.Restarts);
        _starter = new RankStarter(options, console, _job, _guardian);
    }

    private int WorldSize => _options.LocalWorldSize;

    private static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>Runs the job and returns the exit code of the launcher.</summary>
    /// <exception cref="JobDirectoryException">A folder or port for the job cannot be had.</exception>
    public int Run()
        => !_options.Nodes.IsOneNode ? RunNodes()
            : _options.Program.IsBundled && WorldSize > 1 && Preflight(WorldSize) is { } exitCode ? exitCode
            : RunAttempts();

    public void Dispose()
    {
        _signals.Dispose();
        _events.Dispose();
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

    private void TellHowItRuns()
    {
        if (_starter.ShareNote is { } share)
        {
            Note(share);
        }

        foreach (var line in _options.Mesh?.Map() ?? [])
        {
            Note($"mesh {line}");
        }

        if (_logs.UnnamedFolder is { } folder)
        {
            Note($"logs are kept in {folder}.");
        }
    }

    private int RunAttempts()
    {
        TellHowItRuns();
        var restartCount = 0;
        while (true)
        {
            var outcome = RunAttempt(restartCount);
            if (!MayRestart(outcome) || !Restart(outcome, restartCount + 1))
            {
                EndOutliving();
                var exitCode = Conclude(outcome);
                var error = outcome.Failure is { } failure ? FailureReport.Describe(failure.RootCause) : outcome.LauncherFailure;
                _events.JobEnded(groupRank: 0, restartCount, exitCode, error);
                return exitCode;
            }

            restartCount++;
        }
    }

    private AttemptOutcome RunAttempt(int restartCount)
    {
        using var port = _port.GetAwaiter().GetResult();
        if (_options.MasterPort != 0 && _options.MasterPort != port.Number)
        {
            Note($"port {_options.MasterPort} is in use; MASTER_PORT is {port.Number} instead.");
        }

        // There is something to meet for where the ranks know the job's secret and are several.
        var storePath = _identity is not null && WorldSize > 1
            ? Path.Combine(_job.Path, string.Create(CultureInfo.InvariantCulture, $"s{restartCount}.sock")) : null;
        var placement = RankPlacement.OfOneNode(WorldSize, _options.MasterAddress, port.Number);
        var logs = _logs.Begin(restartCount, WorldSize);
        var output = new AttemptOutput(_options, _console, logs, placement, _host);
        var plan = new AttemptPlan(restartCount, placement, logs, output)
        {
            Identity = _identity,
            StoreAddress = storePath is null ? null : $"unix:{storePath}",
            Outliving = _outliving.ToDictionary(worker => worker.LocalRank),
        };
        var group = NewGroup(plan.Logs);
        using var attempt = new Attempt(plan, _starter, group, _mailbox);
        using var ended = new CancellationTokenSource();
        if (storePath is not null)
        {
            var store = new InMemoryStore();
            attempt.StartStore(storePath, store);
            group.Outliving = OutlivingIn(store);
            _ = WatchLossAsync(store, group, ended.Token);
        }

        try
        {
            var outcome = RunToItsEnd(attempt, plan, output);
            _outliving = outcome.Outliving;
            return outcome;
        }
        finally
        {
            ended.Cancel();
            End(output);
        }
    }

    private AttemptOutcome RunToItsEnd(Attempt attempt, AttemptPlan plan, AttemptOutput output)
    {
        var outcome = attempt.Run(
            started: () =>
            {
                RemoveStale();
                _events.GroupStarted(plan);
                return HangWatch.Start(_job.Path, plan, _group!, _options.HangPatience, hang => _mailbox.Post(() => Note(hang)));
            },
            TellLongTeardown,
            (group, supervisor) => WaitForOutput(group, supervisor, output));
        foreach (var exit in outcome.Exits)
        {
            _events.RankEnded(plan, exit, outcome.Collateral.Contains(exit.Rank));
        }

        foreach (var id in outcome.Orphans)
        {
            Say($"process {id}, which a rank left, does not end although it was killed; it is left behind.");
        }

        if (MayRestart(outcome))
        {
            attempt.StopStore();
        }

        return outcome;
    }

    private void RemoveStale() => ThreadPool.UnsafeQueueUserWorkItem(static job => job.RemoveStale(), _job, preferLocal: false);

    private WorkerGroup NewGroup(AttemptLogs? logs)
        => _group = new WorkerGroup(_mailbox, _deaths, new SupervisorLimits(_options.ShutdownTimeout, Settle, KillWait), logs);

    /// <summary>Whether the end of an attempt is one that another attempt may mend.</summary>
    private bool MayRestart(AttemptOutcome outcome)
        => _stopSignal is null
            && outcome is { Failure: not null, StoppedBySignal: null, StartFailure: null, LauncherFailure: null, IsClean: true }
            && !IsRefusalOfInput(outcome.Failure);

    /// <summary>Waits for the next attempt, if there is to be one; says which rank was the cause.</summary>
    private bool Restart(AttemptOutcome outcome, int number)
    {
        var cause = outcome.Failure!.RootCause;
        var decision = _restarts.OnFailure(cause.End.ShellCode, outcome.Uptime, Now);
        if (decision.Delay is not { } delay)
        {
            if (decision.Refusal is { } refusal)
            {
                Say(refusal);
            }

            return false;
        }

        var when = string.Create(CultureInfo.InvariantCulture, $"{delay.TotalSeconds:0.###} s ({_restarts.Used} of {_options.Restarts.MaxRestarts})");
        ListenToSignals();
        Say($"rank {cause.Rank} failed first ({FailureReport.Describe(cause)}); restart {number} of the group in {when}{TellOutliving()}.");
        _events.GroupRestarts(groupRank: 0, number, cause, delay);
        _port = Task.Run(ChoosePort);
        _identity = _identity is null ? null : Task.Run(JobIdentity.Create);
        return Pause(delay);
    }

    /// <summary>Waits; returns whether no signal asks the launcher to end.</summary>
    private bool Pause(TimeSpan delay)
    {
        for (var end = Now + delay; _stopSignal is null && Now < end;)
        {
            _mailbox.RunNext(end - Now);
        }

        return _stopSignal is null;
    }

    /// <summary>After the end of an attempt: a signal is again something to be told of.</summary>
    private void ListenToSignals()
    {
        if (Interlocked.CompareExchange(ref _state, Running, Concluding) == Leaving)
        {
            Thread.Sleep(Timeout.Infinite); // A signal is ending the launcher where it stands.
        }
    }

    /// <summary>Tells what there is to tell of the last attempt.</summary>
    private int Conclude(AttemptOutcome outcome)
    {
        if (outcome.StoppedBySignal is { } signal)
        {
            return ExitCodes.ForSignal(signal);
        }

        if (outcome.StartFailure is { } startFailure)
        {
            return FailToStart(startFailure);
        }

        if (outcome.LauncherFailure is { } failure)
        {
            Say(failure);
            return ExitCodes.Failure;
        }

        if (outcome.Failure is not { } analysis)
        {
            return ExitCodes.Success;
        }

        if (outcome.Hang is { } hang)
        {
            Say($"before the job failed, {hang}.");
        }

        if (!IsRefusalOfInput(analysis))
        {
            _console.Say(FailureReport.Format(_options.Program.Title, _host, analysis, exit => outcome.Details[exit.Rank]));
        }

        var end = analysis.RootCause.End;
        var parentFile = Environment.GetEnvironmentVariable(ParentErrorFile.Variable);
        if (ParentErrorFile.CopyUp(outcome.ErrorFile, end.TorchCode, parentFile) is { } problem)
        {
            Say(problem);
        }

        return end.ShellCode;
    }

    /// <summary>A bundled worker that refuses its input has said why; that needs no report, and a restart mends nothing.</summary>
    private bool IsRefusalOfInput(FailureAnalysis analysis)
        => _options.Program.IsBundled && analysis.RootCause.End.ExitCode == ExitCodes.BadInput;

    private void WaitForOutput(WorkerGroup group, Supervisor supervisor, AttemptOutput output)
    {
        // From here on a signal ends the launcher where it stands: nothing runs any more, and what keeps it is a console that takes nothing.
        Interlocked.CompareExchange(ref _state, Concluding, Running);
        if (Volatile.Read(ref _signalCount) <= 1)
        {
            foreach (var worker in group.Workers.Where(worker => !supervisor.Alive.Contains(worker.Rank)))
            {
                worker.WaitForOutput();
            }

            output.Flush();
            _notes.Wait(NotesWait);
        }

        foreach (var rank in supervisor.Alive.Except(supervisor.Spared))
        {
            Say($"rank {rank} (pid {group[rank].Process.Id}) does not end although it was killed; it is left behind.");
        }
    }

    private int FailToStart(StartException failure)
    {
        Say($"{_options.Program.Path} cannot be started: {failure.Message}.");
        return failure.IsProgramsFault ? ExitCodes.BadInput : ExitCodes.Failure;
    }

    private void OnSignal(int signal)
    {
        Interlocked.Increment(ref _signalCount);
        if (Interlocked.CompareExchange(ref _state, Leaving, Concluding) == Concluding)
        {
            Dispose();
            Environment.Exit(ExitCodes.ForSignal(signal));
        }

        _mailbox.Post(() =>
        {
            _stopSignal ??= signal;
            _group?.OnSignal(signal);
            _stopping?.Cancel();
        });
    }

    /// <summary>Passes on a signal that is meant for the ranks. Ctrl-Z stops the launcher after them, if a shell can wake it again.</summary>
    private void Forward(int signal) => _mailbox.Post(() =>
    {
        _group?.Forward(signal);
        if (!OperatingSystem.IsWindows() && signal == Signals.TerminalStop && StandardInput.HasTerminal)
        {
            _ = Libc.Kill(Environment.ProcessId, Signals.Stop);
        }
    });

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
