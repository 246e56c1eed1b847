using System.Runtime.ExceptionServices;

namespace Distributed.Engine.Kernels;

/// <summary>One piece of a loop: the items [<paramref name="start"/>, <paramref name="end"/>).</summary>
internal delegate void RangeBody(int start, int end);

/// <summary>
/// Threads that live as long as the model and share its loops. The thread that calls <see cref="For"/> works too, so a pool of one
/// has no threads at all.
/// </summary>
/// <remarks>
/// <para>A loop is cut into <em>chunks</em>, several a thread, which the threads take from one counter. The loop is over when its
/// chunks are done, not when every thread has reported: a thread that the system did not wake in time, because other ranks share the
/// cores, is not waited for, it finds nothing left to take.</para>
/// <para>Between loops a thread spins for some microseconds, as the next loop of a step usually follows at once, then yields its core
/// again and again, then sleeps. Spinning alone would be ruinous with more threads than cores.</para>
/// <para>Which thread runs which chunk changes no result: a chunk writes outputs that no other chunk touches.</para>
/// </remarks>
internal sealed class ComputePool : IDisposable
{
    private const int ChunksPerThread = 4;
    private const int SpinCount = 100;
    private const int YieldCount = 400;

    private readonly Worker[] _workers;
    private RangeBody _body = static (_, _) => { };
    private int _itemCount;
    private int _chunkLength;
    private ExceptionDispatchInfo? _failure;

    // The number of chunks in the upper half, the number taken in the lower: a late thread that takes from a loop that is over, or
    // from one that has just begun, learns from one atomic step whether its chunk exists.
    private PaddedInt64 _tickets;
    private PaddedInt64 _unfinishedChunks;
    private int _loopNumber;
    private volatile bool _stopping;

    /// <param name="threadCount">Threads that compute, the caller's included; at least 1.</param>
    /// <param name="name">Names the threads in debuggers and dumps.</param>
    /// <param name="firstProcessor">
    /// Leaves this processor to the caller and binds the other threads to those that follow; see <see cref="ProcessorBinding"/>.
    /// <see langword="null"/> binds none.
    /// </param>
    public ComputePool(int threadCount, string name = "compute", int? firstProcessor = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadCount, 1);
        _workers = new Worker[threadCount - 1];
        for (var i = 0; i < _workers.Length; i++)
        {
            var worker = new Worker();
            var processor = firstProcessor + i + 1;
            _workers[i] = worker;
            worker.Thread = new Thread(() => Run(worker, processor)) { IsBackground = true, Name = $"{name} {i + 1}" };
        }

        foreach (var worker in _workers)
        {
            worker.Thread!.Start();
        }
    }

    /// <summary>Threads that compute, the caller's included.</summary>
    public int ThreadCount => _workers.Length + 1;

    /// <summary>
    /// Calls <paramref name="body"/> for ranges that together cover [0, <paramref name="itemCount"/>) once, and returns when all are
    /// done. One thread at a time may call it.
    /// </summary>
    /// <param name="itemCount">Items of the loop.</param>
    /// <param name="grain">The smallest range worth a hand-over, in items; ranges are multiples of it, the last one excepted.</param>
    /// <param name="body">The loop's body; it must not call the pool. Its first exception is thrown here, after the loop has ended.</param>
    public void For(int itemCount, int grain, RangeBody body)
    {
        ObjectDisposedException.ThrowIf(_stopping, this);
        var grains = (itemCount + grain - 1) / grain;
        var chunkCount = Math.Min(grains, ThreadCount * ChunksPerThread);
        if (chunkCount <= 1 || _workers.Length == 0)
        {
            if (itemCount > 0)
            {
                body(0, itemCount);
            }

            return;
        }

        _body = body;
        _itemCount = itemCount;
        _chunkLength = (grains + chunkCount - 1) / chunkCount * grain;
        chunkCount = (itemCount + _chunkLength - 1) / _chunkLength;
        Volatile.Write(ref _unfinishedChunks.Value, chunkCount);
        Volatile.Write(ref _tickets.Value, (long)chunkCount << 32);
        Wake(Math.Min(_workers.Length, chunkCount - 1));
        TakeChunks();
        AwaitChunks();
        if (_failure is { } failure)
        {
            _failure = null;
            failure.Throw();
        }
    }

    /// <summary>Ends the threads and waits for them.</summary>
    public void Dispose()
    {
        if (!_stopping)
        {
            _stopping = true;
            Wake(_workers.Length);
            foreach (var worker in _workers)
            {
                worker.Dispose();
            }
        }
    }

    private void Run(Worker worker, int? processor)
    {
        if (processor is { } index)
        {
            ProcessorBinding.TryBind(index);
        }

        var seen = 0;
        while (true)
        {
            seen = AwaitLoop(worker, seen);
            if (_stopping)
            {
                return;
            }

            TakeChunks();
        }
    }

    private void TakeChunks()
    {
        while (true)
        {
            var ticket = Interlocked.Increment(ref _tickets.Value);
            var chunk = (int)(uint)ticket - 1;
            if (chunk >= (int)(ticket >> 32))
            {
                return;
            }

            var start = chunk * _chunkLength;
            try
            {
                _body(start, Math.Min(_itemCount, start + _chunkLength));
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
            }

            Interlocked.Decrement(ref _unfinishedChunks.Value);
        }
    }

    private void AwaitChunks()
    {
        for (var turn = 0; Volatile.Read(ref _unfinishedChunks.Value) > 0; turn++)
        {
            Relax(turn);
        }
    }

    private void Wake(int count)
    {
        // A full fence: a worker either sees the new number before it sleeps or has left its mark, which is read below.
        Interlocked.Increment(ref _loopNumber);
        for (var i = 0; i < count; i++)
        {
            var worker = _workers[i];
            if (Volatile.Read(ref worker.Asleep) != 0 && Interlocked.Exchange(ref worker.Asleep, 0) != 0)
            {
                worker.Awake.Release();
            }
        }
    }

    // Returns the number of a loop newer than the one seen.
    private int AwaitLoop(Worker worker, int seen)
    {
        for (var turn = 0; ; turn++)
        {
            var number = Volatile.Read(ref _loopNumber);
            if (number != seen)
            {
                return number;
            }

            if (turn < SpinCount + YieldCount)
            {
                Relax(turn);
                continue;
            }

            Interlocked.Exchange(ref worker.Asleep, 1);
            if (Volatile.Read(ref _loopNumber) == seen || Interlocked.Exchange(ref worker.Asleep, 0) == 0)
            {
                worker.Awake.Wait();
            }

            turn = -1;
        }
    }

    private static void Relax(int turn)
    {
        if (turn < SpinCount)
        {
            Thread.SpinWait(1);
        }
        else if (!Thread.Yield())
        {
            Thread.Sleep(0);
        }
    }

    private sealed class Worker : IDisposable
    {
        public readonly SemaphoreSlim Awake = new(0);
        public Thread? Thread;
        public int Asleep;

        public void Dispose()
        {
            Thread!.Join();
            Awake.Dispose();
        }
    }
}
