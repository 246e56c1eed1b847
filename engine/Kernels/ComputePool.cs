using System.Runtime.ExceptionServices;
using Distributed.Collectives.Hosting;

namespace Distributed.Engine.Kernels;

/// <summary>One piece of a loop: the items [<paramref name="start"/>, <paramref name="end"/>).</summary>
internal delegate void RangeBody(int start, int end);

/// <summary>
/// Threads that live as long as the model and share its loops. The thread that calls <see cref="For"/> works too, so a pool of one
/// has no threads at all.
/// </summary>
/// <remarks>
/// <para>A loop is cut into <em>chunks</em>, several a thread. Each thread has a <em>share</em> of neighbouring ones, which it takes in ascending order, so that
/// what it reads is one stream of memory and what it asks for ahead of a chunk's end is its own; a thread that has done its share takes from the others'.
/// The loop is over when its chunks are done, not when every thread has reported: a thread that the system did not wake in time, because other ranks
/// share the cores, is not waited for, it finds nothing left to take.</para>
/// <para>Between loops a thread spins for some microseconds, as the next loop of a step usually follows at once, then yields its core
/// again and again, then sleeps. Spinning alone would be ruinous with more threads than cores.</para>
/// <para>Which thread runs which chunk changes no result: a chunk writes outputs that no other chunk touches.</para>
/// </remarks>
internal sealed class ComputePool : IDisposable
{
    private const int ChunksPerThread = 8;
    private const int SpinCount = 100;
    private const int YieldCount = 400;

    private readonly Worker[] _workers;
    private readonly Share[] _shares; // [thread], the caller's first
    private RangeBody _body = static (_, _) => { };
    private ExceptionDispatchInfo? _failure;

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
        _shares = new Share[threadCount];
        for (var i = 0; i < _workers.Length; i++)
        {
            var worker = new Worker();
            var (processor, share) = (firstProcessor + i + 1, i + 1);
            _workers[i] = worker;
            worker.Thread = new Thread(() => Run(worker, share, processor)) { IsBackground = true, Name = $"{name} {i + 1}" };
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
        if (itemCount <= grain || _workers.Length == 0)
        {
            if (itemCount > 0)
            {
                body(0, itemCount);
            }

            return;
        }

        _body = body;
        var chunkCount = Cut(itemCount, grain);
        Volatile.Write(ref _unfinishedChunks.Value, chunkCount);
        foreach (ref var share in _shares.AsSpan())
        {
            Volatile.Write(ref share.Tickets.Value, (long)share.ChunkCount << 32);
        }

        Wake(Math.Min(_workers.Length, chunkCount - 1));
        TakeChunks(0);
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

    // Cuts the items and returns the number of chunks. Nobody reads a share before it has tickets.
    private int Cut(int itemCount, int grain)
    {
        var grains = (itemCount + grain - 1) / grain;
        var count = 0;
        for (var i = 0; i < _shares.Length; i++)
        {
            ref var share = ref _shares[i];
            var (first, end) = ((long)grains * i / _shares.Length, (long)grains * (i + 1) / _shares.Length);
            share.Start = (int)(first * grain);
            share.End = (int)Math.Min(itemCount, end * grain);
            share.ChunkLength = Math.Max(1, ((int)(end - first) + ChunksPerThread - 1) / ChunksPerThread) * grain;
            share.ChunkCount = (share.End - share.Start + share.ChunkLength - 1) / share.ChunkLength;
            count += share.ChunkCount;
        }

        return count;
    }

    private void Run(Worker worker, int share, int? processor)
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

            TakeChunks(share);
        }
    }

    // Its own share, then those of the threads behind it.
    private void TakeChunks(int first)
    {
        var count = 0;
        for (var i = 0; i < _shares.Length; i++)
        {
            count += TakeChunks(ref _shares[(first + i) % _shares.Length]);
        }

        if (count > 0)
        {
            // Once, as every thread writes here and the caller waits for it.
            Interlocked.Add(ref _unfinishedChunks.Value, -count);
        }
    }

    // Returns the number of chunks.
    private int TakeChunks(ref Share share)
    {
        for (var count = 0; ; count++)
        {
            var ticket = Interlocked.Increment(ref share.Tickets.Value);
            var chunk = (int)(uint)ticket - 1;
            if (chunk >= (int)(ticket >> 32))
            {
                return count;
            }

            var start = share.Start + (chunk * share.ChunkLength);
            try
            {
                _body(start, Math.Min(share.End, start + share.ChunkLength));
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
            }
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

    private struct Share
    {
        // The number of chunks in the upper half, the number taken in the lower: a late thread that takes from a loop that is over, or
        // from one that has just begun, learns from one atomic step whether its chunk exists.
        public PaddedInt64 Tickets;

        public int Start; // the first item
        public int End;
        public int ChunkLength;
        public int ChunkCount;
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
