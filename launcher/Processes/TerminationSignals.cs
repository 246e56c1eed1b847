using System.Runtime.InteropServices;

namespace Distributed.Launcher.Processes;

/// <summary>The four signals that ask the launcher to end, as torchrun handles them.</summary>
internal sealed class TerminationSignals : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;

    /// <summary>Calls <paramref name="received"/> with the number of each such signal, on a thread of the pool.</summary>
    public TerminationSignals(Action<int> received) => _registrations =
    [
        Register(PosixSignal.SIGHUP, Signals.Hangup, received),
        Register(PosixSignal.SIGINT, Signals.Interrupt, received),
        Register(PosixSignal.SIGQUIT, Signals.Quit, received),
        Register(PosixSignal.SIGTERM, Signals.Terminate, received),
    ];

    public void Dispose()
    {
        foreach (var registration in _registrations)
        {
            registration.Dispose();
        }
    }

    private static PosixSignalRegistration Register(PosixSignal signal, int number, Action<int> received)
        => PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            received(number);
        });
}
