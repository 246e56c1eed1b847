using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace Distributed.Collectives;

/// <summary>
/// Runs operations of a group behind the caller's back, in the order in which they were given, each with a handle: the caller computes
/// while they communicate.
/// <code>
/// using var queue = new AsyncCollectives(group);
/// var sum = queue.Enqueue(group => group.AllReduce(gradients.AsSpan()));
/// ...                 // compute what does not need the sum
/// await sum;          // or sum.Wait()
/// </code>
/// </summary>
/// <remarks>
/// Its thread owns the group from the first operation to <see cref="Dispose"/>; ranks enqueue the same operations in the same order, as
/// they would call them.
/// </remarks>
public sealed class AsyncCollectives : IDisposable
{
    /// <summary>The most operations that wait; the caller of one more waits as well.</summary>
    public const int Capacity = 1024;

    private readonly BlockingCollection<(Action<ProcessGroup> Operation, TaskCompletionSource Handle)> _waiting = new(Capacity);
    private readonly ProcessGroup _group;
    private readonly Thread _thread;

    /// <summary>Takes the group over; it stays the caller's to dispose, after the queue.</summary>
    public AsyncCollectives(ProcessGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        _group = group;
        _thread = new Thread(Run) { IsBackground = true, Name = $"collectives of rank {group.Rank}" };
        _thread.Start();
    }

    /// <summary>Puts an operation behind those that were given before.</summary>
    /// <param name="operation">One or more operations of the group; its buffers are borrowed until the handle is complete.</param>
    /// <returns>The handle: complete when the operation is, or faulted with its error, as those after it will be.</returns>
    /// <exception cref="ObjectDisposedException">The queue has been disposed.</exception>
    public Task Enqueue(Action<ProcessGroup> operation)
    {
        ArgumentNullException.ThrowIfNull(operation);
        var handle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Add((operation, handle));
        return handle.Task;
    }

    /// <summary>Waits for what was given, and gives the group back.</summary>
    public void Dispose()
    {
        _waiting.CompleteAdding();
        _thread.Join(); // every operation has its limit
        _waiting.Dispose();
    }

    [SuppressMessage("Design", "CA1031", Justification = "Whatever ends an operation is the handle's to say.")]
    private void Run()
    {
        foreach (var (operation, handle) in _waiting.GetConsumingEnumerable())
        {
            try
            {
                operation(_group);
                handle.SetResult();
            }
            catch (Exception exception)
            {
                handle.SetException(exception);
            }
        }
    }
}
