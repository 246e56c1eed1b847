namespace Distributed.Launcher.Jobs;

/// <summary>What other threads want done on the agent's thread, in the order in which they asked.</summary>
internal sealed class Mailbox
{
    private readonly object _gate = new(); // an object, not a Lock: the agent waits on it
    private readonly Queue<Action> _actions = new();

    /// <summary>Asks for <paramref name="action"/>.</summary>
    public void Post(Action action)
    {
        lock (_gate)
        {
            _actions.Enqueue(action);
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Does the next thing, waiting up to <paramref name="limit"/> for one; forever without a limit.</summary>
    public void RunNext(TimeSpan? limit)
    {
        Action? action;
        lock (_gate)
        {
            if (_actions.Count == 0)
            {
                // The end of a wait is exact to a millisecond; one more keeps it from ending just before its time.
                var wait = limit is { } some ? some + TimeSpan.FromMilliseconds(1) : Timeout.InfiniteTimeSpan;
                if (wait <= TimeSpan.Zero && wait != Timeout.InfiniteTimeSpan)
                {
                    return;
                }

                Monitor.Wait(_gate, wait);
            }

            _actions.TryDequeue(out action);
        }

        action?.Invoke();
    }
}
