namespace Grpc.Wire;

/// <summary>
/// Lets one operation run at a time, and none after it was closed. Streams are not queues: a second read or write at once is an error of
/// the caller and is refused instead of waiting.
/// </summary>
/// <param name="operation">What runs, for the error: "read", "write".</param>
/// <param name="closed">Why nothing runs any more, for the error.</param>
internal sealed class Turn(string operation, string closed)
{
    private const int Taken = 1;
    private const int Closed = 2;

    private int _state;
    private TaskCompletionSource? _idle;

    /// <summary>Whether an operation runs. After <see cref="TryClose"/> it can only become false.</summary>
    public bool IsTaken => (Volatile.Read(ref _state) & Taken) != 0;

    public bool IsClosed => (Volatile.Read(ref _state) & Closed) != 0;

    /// <summary>Begins an operation; <see cref="Release"/> ends it.</summary>
    /// <exception cref="InvalidOperationException">Another one runs, or the turn is closed.</exception>
    public void Take()
    {
        var state = Interlocked.CompareExchange(ref _state, Taken, 0);
        if (state != 0)
        {
            throw new InvalidOperationException((state & Closed) != 0 ? closed : $"The previous {operation} is still in progress; await it first.");
        }
    }

    public void Release()
    {
        Interlocked.And(ref _state, ~Taken);
        Volatile.Read(ref _idle)?.TrySetResult();
    }

    /// <summary>Allows no further operation; true for the first who calls. One that runs is left to end.</summary>
    public bool TryClose() => (Interlocked.Or(ref _state, Closed) & Closed) == 0;

    /// <summary>Ends when no operation runs; to be called after <see cref="TryClose"/>.</summary>
    public Task WhenIdle()
    {
        if (!IsTaken)
        {
            return Task.CompletedTask;
        }

        var idle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        idle = Interlocked.CompareExchange(ref _idle, idle, null) ?? idle;
        if (!IsTaken)
        {
            idle.TrySetResult(); // released in this moment, perhaps before there was somebody to tell
        }

        return idle.Task;
    }
}
