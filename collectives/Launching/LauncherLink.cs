using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting;

namespace Distributed.Collectives.Launching;

/// <summary>
/// A worker's end of its tie to the launcher: what the launcher tells it in private, what the user types, and the guarantee that
/// the worker does not outlive the launcher.
/// </summary>
/// <remarks>
/// <para>A launched worker's stdin is the lifeline: first the envelope, then the user's input in frames
/// (<see cref="WorkerLink"/> is the other end). Its end means that the launcher is gone, however it went, and this process ends at that
/// moment with <see cref="ExitCodes.GroupFailed"/>. On Linux the kernel also kills the worker when the launcher dies, so that a
/// stopped one goes too.</para>
/// <para>SIGINT, SIGTERM, SIGHUP and SIGQUIT end the process at once with <see cref="ExitCodes.ForSignal"/>: its main thread may be
/// inside a collective, which no cooperative stop reaches. A program that can stop by itself says so with <see cref="HandleTermination"/>.</para>
/// </remarks>
public sealed class LauncherLink
{
    private static readonly TimeSpan EnvelopeLimit = TimeSpan.FromSeconds(10);

    // Registrations end when they are collected; these are for the life of the process.
    private static PosixSignalRegistration[]? _terminations;
    private static Action<int>? _firstTermination;

    private readonly Lifeline? _lifeline;

    private LauncherLink(JobEnvelope? envelope, Stream userInput, bool userInputIsTerminal, Lifeline? lifeline = null)
    {
        _lifeline = lifeline;
        Envelope = envelope;
        UserInput = userInput;
        UserInputIsTerminal = userInputIsTerminal;
    }

    /// <summary>What the launcher told this worker in private; <see langword="null"/> for a process that was started without one.</summary>
    public JobEnvelope? Envelope { get; }

    /// <summary>
    /// What the user types or pipes in: the launcher's stdin on rank 0, nothing on the other ranks, and the process's own stdin where
    /// there is no envelope. One reader at a time.
    /// </summary>
    public Stream UserInput { get; }

    /// <summary>Whether <see cref="UserInput"/> comes from a terminal.</summary>
    public bool UserInputIsTerminal { get; }

    /// <summary>Ties this process to its launcher. To be called once, first thing, before stdin is touched.</summary>
    /// <param name="environment">This process's environment; its <see cref="RankEnvironment.HasEnvelope"/> says what stdin is.</param>
    /// <exception cref="RankEnvironmentException">No envelope came within 10 s, or what came is none.</exception>
    public static LauncherLink Attach(RankEnvironment environment)
    {
        ArgumentNullException.ThrowIfNull(environment);
        EndPromptlyOnSignals();
        if (!environment.HasEnvelope)
        {
            return new LauncherLink(null, Console.OpenStandardInput(), !Console.IsInputRedirected);
        }

        var lifeline = OpenLifeline();
        var envelope = lifeline.WaitForEnvelope(EnvelopeLimit);
        if (envelope.Rank != environment.Rank)
        {
            throw new RankEnvironmentException(
                $"The job envelope is for rank {envelope.Rank}, but RANK={environment.Rank}; leave RANK as distrun sets it.");
        }

        DieWithLauncher(envelope.LauncherProcessId);
        return new LauncherLink(envelope, lifeline.UserInput, envelope.UserInputIsTerminal, lifeline);
    }

    /// <summary>
    /// For a rank that outlives the attempt (<see cref="PeerRendezvousOptions.OutlivesAttempt"/>) and has lost its group: what the launcher
    /// says of the next one. Where there is to be none, the launcher ends this process instead.
    /// </summary>
    /// <param name="environment">What the rank knows of the attempt before.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What <see cref="PeerRendezvous.JoinAsync"/> takes to join the next group.</returns>
    /// <exception cref="InvalidOperationException">There is no launcher.</exception>
    public async Task<(RankEnvironment Environment, JobEnvelope Envelope)> WaitForNextAttemptAsync(
        RankEnvironment environment, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(environment);
        var lifeline = _lifeline ?? throw new InvalidOperationException("A process without a launcher has no next attempt.");
        var envelope = await lifeline.NextEnvelopeAsync(cancellationToken);
        return (environment with { RestartCount = envelope.Epoch, StoreAddress = envelope.StoreAddress, ErrorFile = envelope.ErrorFile }, envelope);
    }

    /// <summary>
    /// From now on the first SIGTERM, SIGINT or SIGHUP calls <paramref name="handler"/>, on a thread of the pool, in place of ending the process; the next one ends it
    /// at once, and SIGQUIT always does.
    /// </summary>
    /// <param name="handler">Given the signal's number; has the program come to its end.</param>
    public static void HandleTermination(Action<int> handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        Volatile.Write(ref _firstTermination, handler);
    }

    private static void EndPromptlyOnSignals() => _terminations ??=
    [
        EndOn(PosixSignal.SIGHUP, 1),
        EndOn(PosixSignal.SIGINT, 2),
        EndOn(PosixSignal.SIGQUIT, 3),
        EndOn(PosixSignal.SIGTERM, 15),
    ];

    private static PosixSignalRegistration EndOn(PosixSignal signal, int number)
        => PosixSignalRegistration.Create(signal, context =>
        {
            if (signal == PosixSignal.SIGQUIT || Interlocked.Exchange(ref _firstTermination, null) is not { } handler)
            {
                NativeProcess.ExitNow(ExitCodes.ForSignal(number));
                return;
            }

            context.Cancel = true;
            handler(number);
        });

    private static void DieWithLauncher(int launcherId)
    {
        if (OperatingSystem.IsWindows())
        {
            return; // There the launcher holds its workers in a job object, which goes with it.
        }

        if (Platform.UsesLinux)
        {
            NativeProcess.DieWithParentThread();
        }

        // A launcher that died before that call is not told of by the kernel any more.
        if (NativeProcess.ParentId() != launcherId)
        {
            EndWithLauncher();
        }
    }

    private static Lifeline OpenLifeline()
    {
        if (OperatingSystem.IsWindows())
        {
            return new Lifeline(Console.OpenStandardInput(), isHungUp: static () => false, launcherLost: EndWithLauncher);
        }

        var pipe = NativeProcess.TakeStandardInput();
        var stream = new FileStream(pipe, FileAccess.Read, bufferSize: 0);
        return new Lifeline(stream, isHungUp: () => NativeProcess.IsHungUp(pipe), launcherLost: EndWithLauncher);
    }

    private static void EndWithLauncher() => NativeProcess.ExitNow(ExitCodes.GroupFailed);
}
