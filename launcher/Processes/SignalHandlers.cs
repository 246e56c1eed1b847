using System.Runtime.InteropServices;

namespace Distributed.Launcher.Processes;

/// <summary>The two classes of signals to the launcher: those that ask the job to end, and those that are meant for its ranks.</summary>
internal sealed class SignalHandlers : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];

    /// <summary>Handles the signals, on threads of the pool.</summary>
    /// <param name="terminating">Those that ask the job to end.</param>
    /// <param name="terminate">Called with the number of each of them.</param>
    /// <param name="forward">Called with the number of each of <see cref="Signals.Forwarded"/> that is none of them.</param>
    public SignalHandlers(IReadOnlyList<int> terminating, Action<int> terminate, Action<int> forward)
    {
        foreach (var signal in terminating)
        {
            Handle(signal, terminate);
        }

        foreach (var signal in Signals.Forwarded)
        {
            if (!terminating.Contains(signal))
            {
                Handle(signal, forward);
            }
        }
    }

    public void Dispose()
    {
        foreach (var registration in _registrations)
        {
            registration.Dispose();
        }
    }

    private void Handle(int signal, Action<int> received)
        => _registrations.Add(PosixSignalRegistration.Create(Portable(signal), context =>
        {
            context.Cancel = true;
            received(signal);
        }));

    /// <summary>The number by which .NET knows the signal: a negative one for those that every system has, else the system's own.</summary>
    private static PosixSignal Portable(int signal) => signal switch
    {
        Signals.Hangup => PosixSignal.SIGHUP,
        Signals.Interrupt => PosixSignal.SIGINT,
        Signals.Quit => PosixSignal.SIGQUIT,
        Signals.Terminate => PosixSignal.SIGTERM,
        _ => (PosixSignal)signal,
    };
}
