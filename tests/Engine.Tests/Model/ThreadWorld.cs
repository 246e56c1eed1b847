using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Distributed.Collectives;

namespace Distributed.Engine.Tests.Model;

/// <summary>
/// Ranks as threads of one process. Every operation is two meetings: all put their data on the table, all take what they need. The sum is
/// written out here, level by level, apart from the one that the product uses.
/// </summary>
internal sealed class ThreadWorld(int size, ThreadWorld? whole = null) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(100);
    private readonly Barrier _barrier = new(size);
    private readonly CancellationTokenSource _aborted = whole?._aborted ?? new();
    private readonly byte[][] _table = new byte[size][];
    private readonly ConcurrentDictionary<string, ThreadWorld> _subworlds = [];
    private readonly ConcurrentDictionary<(int From, int To), BlockingCollection<(uint Tag, byte[] Bytes)>> _messages = [];
    private string? _cause;

    public int Size { get; } = size;

    public ThreadGroup Join(int rank) => new(this, rank);

    public void Dispose()
    {
        foreach (var world in _subworlds.Values)
        {
            world.Dispose();
        }

        if (whole is null)
        {
            _aborted.Dispose();
        }

        _barrier.Dispose();
    }

    /// <summary>The group as one rank sees it; counts what it is asked to do.</summary>
    internal sealed class ThreadGroup(ThreadWorld world, int rank, List<(string Operation, int ByteCount)>? log = null) : ProcessGroup
    {
        public List<(string Operation, int ByteCount)> Log { get; } = log ?? [];

        public override int Rank => rank;

        public override int WorldSize => world.Size;

        public override string TransportDescription => "threads";

        public override CancellationToken Aborted => world._aborted.Token;

        public override void AllReduce(Span<float> values, CollectiveOptions options = default)
        {
            Log.Add(("AllReduce", values.Length * sizeof(float)));
            var bytes = MemoryMarshal.AsBytes(values);
            var parts = Exchange(bytes, options).Select(part => MemoryMarshal.Cast<byte, float>(part).ToArray()).ToArray();
            for (var distance = 1; distance < parts.Length; distance *= 2)
            {
                for (var left = 0; left + distance < parts.Length; left += 2 * distance)
                {
                    for (var i = 0; i < values.Length; i++)
                    {
                        parts[left][i] += parts[left + distance][i];
                    }
                }
            }

            parts[0].CopyTo(values);
            Meet();
        }

        public override void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default)
        {
            Log.Add(("AllGather", part.Length));
            Exchange(part, options).SelectMany(bytes => bytes).ToArray().CopyTo(all);
            Meet();
        }

        public override void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default)
        {
            Log.Add(("Gather", part.Length));
            var parts = Exchange(part, options);
            if (rank == root)
            {
                parts.SelectMany(bytes => bytes).ToArray().CopyTo(all);
            }

            Meet();
        }

        public override void Broadcast(Span<byte> values, int root, CollectiveOptions options = default)
        {
            Log.Add(("Broadcast", values.Length));
            Exchange(values, options)[root].CopyTo(values);
            Meet();
        }

        public override void Barrier(CollectiveOptions options = default) => Meet();

        public override void AllReduce(Span<byte> values, DataType type, ReduceOperation operation, CollectiveOptions options = default)
            => throw new NotSupportedException();

        public override void Reduce(Span<byte> values, DataType type, ReduceOperation operation, int root, CollectiveOptions options = default)
            => throw new NotSupportedException();

        public override void ReduceScatter(
            ReadOnlySpan<byte> all, Span<byte> part, DataType type, ReduceOperation operation, CollectiveOptions options = default)
            => throw new NotSupportedException();

        public override void Scatter(ReadOnlySpan<byte> all, Span<byte> part, int root, CollectiveOptions options = default)
            => throw new NotSupportedException();

        public override void AllToAll(ReadOnlySpan<byte> sent, Span<byte> received, CollectiveOptions options = default)
            => throw new NotSupportedException();

        public override void MonitoredBarrier(CollectiveOptions options = default) => throw new NotSupportedException();

        public override ProcessGroup? Subgroup(params ReadOnlySpan<int> ranks)
        {
            var own = ranks.IndexOf(rank);
            var count = ranks.Length;
            return own < 0 ? null : new ThreadGroup(world._subworlds.GetOrAdd(string.Join(',', ranks.ToArray()), _ => new ThreadWorld(count, world)), own, Log);
        }

        // One message can be on its way, as in the product.
        public override void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default)
        {
            Log.Add(("Send", values.Length));
            var message = (options.Tag, values.ToArray());
            WaitFor(() => world.MessagesOf(rank, peer).TryAdd(message, (int)Limit.TotalMilliseconds, Aborted));
        }

        public override void Receive(Span<byte> values, int peer, CollectiveOptions options = default)
        {
            Log.Add(("Receive", values.Length));
            (uint Tag, byte[] Bytes) message = (0, []);
            WaitFor(() => world.MessagesOf(peer, rank).TryTake(out message, (int)Limit.TotalMilliseconds, Aborted));
            if (message.Tag != options.Tag || message.Bytes.Length != values.Length)
            {
                throw new PeerProtocolException($"Rank {peer} sent {message.Bytes.Length} bytes, tag {message.Tag}; {values.Length} of tag {options.Tag} were due.", peer);
            }

            message.Bytes.CopyTo(values);
        }

        public override void Abort(string cause)
        {
            world.Fail(cause);
        }

        private byte[][] Exchange(ReadOnlySpan<byte> bytes, CollectiveOptions options)
        {
            world._table[rank] = [.. BitConverter.GetBytes(options.Tag), .. bytes];
            Meet();
            var length = bytes.Length + sizeof(uint);
            var tags = world._table.Select(part => BitConverter.ToUInt32(part)).Distinct().ToArray();
            return tags.Length == 1 && world._table.All(part => part.Length == length)
                ? [.. world._table.Select(part => part[sizeof(uint)..])]
                : throw new PeerProtocolException($"Ranks are out of step: tags {string.Join(", ", tags)}.", 0);
        }

        private void Meet() => WaitFor(() => world._barrier.SignalAndWait(Limit, Aborted));

        private void WaitFor(Func<bool> wait)
        {
            try
            {
                if (!wait())
                {
                    throw new CollectiveTimeoutException("A rank did not come.", rank);
                }
            }
            catch (OperationCanceledException)
            {
                throw new GroupAbortedException($"Consequence of: {world.Cause}", null);
            }
        }
    }

    private void Fail(string cause)
    {
        if (whole is not null)
        {
            whole.Fail(cause);
        }
        else if (Interlocked.CompareExchange(ref _cause, cause, null) is null)
        {
            _aborted.Cancel();
        }
    }

    private string? Cause => whole is null ? _cause : whole.Cause;

    private BlockingCollection<(uint Tag, byte[] Bytes)> MessagesOf(int from, int to) => _messages.GetOrAdd((from, to), _ => new(boundedCapacity: 1));
}
