namespace Distributed.Engine.Serving;

/// <summary>Tells the one thread that waits that there is something to do; what is said while nobody waits is not lost.</summary>
internal sealed class WakeSignal
{
    private readonly object _gate = new(); // Monitor waits on objects only
    private bool _isSet;

    /// <summary>Lets <see cref="Wait"/> return, now or when it is next called.</summary>
    public void Set()
    {
        lock (_gate)
        {
            _isSet = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Returns once <see cref="Set"/> was called since the last time, or the time is up.</summary>
    /// <param name="limit">0 or more.</param>
    public void Wait(TimeSpan limit)
    {
        lock (_gate)
        {
            if (!_isSet)
            {
                Monitor.Wait(_gate, limit);
            }

            _isSet = false;
        }
    }
}
