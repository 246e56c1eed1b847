namespace Distributed.Engine.Nccl;

/// <summary>Ranks with a GPU each, whose sums go from GPU to GPU.</summary>
internal sealed class NcclCommunicator : IDisposable
{
    private readonly NcclLibrary _library;
    private readonly CancellationTokenRegistration _abortion;
    private nint _communicator;

    private NcclCommunicator(NcclLibrary library, nint communicator, CancellationToken aborted)
    {
        (_library, _communicator) = (library, communicator);
        _abortion = aborted.Register(Abort);
    }

    /// <summary>Joins the other ranks, all of which do it at once.</summary>
    /// <param name="library">NCCL.</param>
    /// <param name="id">Of the communicator.</param>
    /// <param name="worldSize">Ranks.</param>
    /// <param name="rank">This one.</param>
    /// <param name="bindDevice">Makes this rank's GPU the calling thread's.</param>
    /// <param name="limit">How long the others may take.</param>
    /// <param name="aborted">The group is no more: whatever waits for a lost rank on the GPU is let go.</param>
    /// <exception cref="NcclException">NCCL refuses, or a rank did not come.</exception>
    public static NcclCommunicator Join(
        NcclLibrary library, NcclUniqueId id, int worldSize, int rank, Action bindDevice, TimeSpan limit, CancellationToken aborted)
    {
        // NCCL waits for ever. The thread that waits is left behind where a rank does not come, and gives its communicator back if it is late.
        var joining = Task.Factory.StartNew(
            () =>
            {
                bindDevice();
                return library.CommInitRank(id, worldSize, rank);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        try
        {
            if (joining.Wait(limit, aborted))
            {
                return new NcclCommunicator(library, joining.Result, aborted);
            }
        }
        catch (AggregateException exception) when (exception.InnerException is NcclException refusal)
        {
            throw new NcclException(refusal.Message);
        }
        catch (OperationCanceledException)
        {
            // said below
        }

        _ = joining.ContinueWith(
            late => library.Abort(late.Result), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        throw new NcclException($"not all ranks came within {limit.TotalSeconds:0} s");
    }

    /// <summary>Adds up values [count] of float32 on the GPU in the order of its default stream; the order of the sum is NCCL's.</summary>
    /// <exception cref="NcclException">A rank is lost, or NCCL refuses.</exception>
    public void AllReduce(nint values, long count)
    {
        // No lock: an abortion has to reach a call that waits for a lost rank, which NCCL allows.
        var communicator = Volatile.Read(ref _communicator);
        if (communicator == 0)
        {
            throw new NcclException("the group was aborted");
        }

        if (_library.FindAsyncError(communicator) is { } error)
        {
            throw new NcclException(error);
        }

        _library.AllReduce(communicator, values, count);
    }

    public void Dispose()
    {
        _abortion.Dispose();
        End(_library.Destroy);
    }

    private void Abort() => End(_library.Abort);

    private void End(Action<nint> end)
    {
        var communicator = Interlocked.Exchange(ref _communicator, 0);
        if (communicator != 0)
        {
            end(communicator);
        }
    }
}
