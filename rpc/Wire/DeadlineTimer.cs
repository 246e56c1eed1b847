namespace Grpc.Wire;

/// <summary>Runs a callback once when a deadline has passed, however far away that is.</summary>
internal sealed class DeadlineTimer : IDisposable
{
    /// <summary>The longest time that a <see cref="Timer"/> accepts, about 49 days; a later deadline is waited for in several parts.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    private readonly DateTime _deadline; // UTC
    private readonly Action _passed;
    private readonly Timer _timer;

    /// <param name="deadline">In UTC.</param>
    /// <param name="passed">Runs on a pool thread and must not throw: nobody could catch it and the process would end.</param>
    public DeadlineTimer(DateTime deadline, Action passed)
    {
        _deadline = deadline;
        _passed = passed;
        _timer = new Timer(static state => ((DeadlineTimer)state!).Wait(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan); // this
    }

    /// <summary>Begins to wait; apart from construction so that the callback finds the owner complete.</summary>
    public void Start() => Wait();

    public void Dispose() => _timer.Dispose();

    private void Wait()
    {
        var left = _deadline - DateTime.UtcNow;
        if (left <= TimeSpan.Zero)
        {
            _passed();
            return;
        }

        try
        {
            // Rounded up to the timer's milliseconds, so that it does not wake just before the deadline and go round again.
            var milliseconds = Math.Ceiling(left.TotalMilliseconds);
            _timer.Change(TimeSpan.FromMilliseconds(Math.Min(milliseconds, LongestWait.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
        }
        catch (ObjectDisposedException)
        {
            // The call ended in this moment.
        }
    }
}
