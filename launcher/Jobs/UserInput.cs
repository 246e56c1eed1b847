using Distributed.Collectives.Launching;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// Carries the launcher's stdin to rank 0 of the bundled worker, on a thread of its own, and to the rank 0 that follows it after a restart.
/// </summary>
internal sealed class UserInput
{
    private readonly object _gate = new(); // an object, not a Lock: the thread waits on it for a rank
    private WorkerLink? _link;
    private bool _isReading;
    private bool _hasEnded;

    /// <summary>From now on this rank gets what comes. What an earlier one has not taken goes to it too.</summary>
    public void Connect(WorkerLink link)
    {
        lock (_gate)
        {
            _link = link;
            if (_hasEnded)
            {
                link.EndUserInput();
            }
            else if (!_isReading)
            {
                _isReading = true;
                new Thread(Read) { IsBackground = true, Name = "input" }.Start();
            }

            Monitor.PulseAll(_gate);
        }
    }

    private void Read()
    {
        using var input = StandardInput.Open();
        var buffer = new byte[WorkerLink.MaxInputByteCount];
        while (ReadSome(input, buffer) is > 0 and var count)
        {
            Deliver(buffer.AsSpan(0, count));
        }

        lock (_gate)
        {
            _hasEnded = true;
            _link?.EndUserInput();
        }
    }

    private void Deliver(ReadOnlySpan<byte> bytes)
    {
        // Not under the lock: a rank that does not read lets this wait.
        for (var link = NextLink(null); !link.SendUserInput(bytes); link = NextLink(link))
        {
        }
    }

    private WorkerLink NextLink(WorkerLink? lost)
    {
        lock (_gate)
        {
            while (_link is null || _link == lost)
            {
                Monitor.Wait(_gate);
            }

            return _link;
        }
    }

    private static int ReadSome(Stream input, Span<byte> buffer)
    {
        try
        {
            return input.Read(buffer);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            return 0; // A stdin that cannot be read (closed, a directory, a terminal that hung up) has no more to say.
        }
    }
}
