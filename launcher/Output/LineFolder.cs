using System.Diagnostics;

namespace Distributed.Launcher.Output;

/// <summary>
/// Shows a line that several ranks write at about the same time once, with all their numbers before it. The lines of each rank stay in their
/// order. Safe for use from several threads.
/// </summary>
/// <remarks>
/// Lines wait in one queue. A line joins an equal one that waits behind all that its rank has in the queue, so no two lines of one rank change
/// places. The oldest leaves when all ranks have joined it, or its time is over.
/// </remarks>
internal sealed class LineFolder : IDisposable
{
    /// <summary>How long a line waits for equal ones.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(200);

    private const int MaxWaitingCount = 4096;

    private readonly Lock _gate = new();
    private readonly ConsoleOutput _console;
    private readonly int _rankCount;
    private readonly Func<IReadOnlyList<int>, byte[]> _prefix;
    private readonly LinkedList<Waiting> _queue = new();
    private readonly Dictionary<int, long> _last = []; // by local rank: the number of the last line that it has joined
    private readonly Timer _timer;
    private long _count;

    /// <param name="console">Where lines are shown.</param>
    /// <param name="rankCount">The ranks whose lines come here.</param>
    /// <param name="prefix">The prefix of a line of some local ranks, in their order.</param>
    public LineFolder(ConsoleOutput console, int rankCount, Func<IReadOnlyList<int>, byte[]> prefix)
    {
        _console = console;
        _rankCount = rankCount;
        _prefix = prefix;
        _timer = new Timer(_ => Release(Patience), null, Patience / 4, Patience / 4);
    }

    /// <summary>Takes one line.</summary>
    public void Add(ConsoleTarget target, int localRank, ReadOnlySpan<byte> line)
    {
        lock (_gate)
        {
            var last = _last.GetValueOrDefault(localRank, -1);
            Waiting? found = null;
            for (var node = _queue.Last; node is not null && node.Value.Number > last; node = node.Previous)
            {
                if (node.Value.Target == target && line.SequenceEqual(node.Value.Line))
                {
                    found = node.Value; // The oldest that it may join: it waits for the fewest.
                }
            }

            if (found is null)
            {
                found = new Waiting(_count++, target, line.ToArray(), Stopwatch.GetTimestamp());
                _queue.AddLast(found);
            }

            found.LocalRanks.Add(localRank);
            _last[localRank] = found.Number;
            ReleaseLocked(_queue.Count > MaxWaitingCount ? TimeSpan.Zero : Patience);
        }
    }

    /// <summary>Shows what waits.</summary>
    public void Flush() => Release(TimeSpan.Zero);

    public void Dispose()
    {
        _timer.Dispose();
        Flush();
    }

    private void Release(TimeSpan age)
    {
        lock (_gate)
        {
            ReleaseLocked(age);
        }
    }

    private void ReleaseLocked(TimeSpan age)
    {
        while (_queue.First?.Value is { } first && (first.LocalRanks.Count == _rankCount || Stopwatch.GetElapsedTime(first.Since) >= age))
        {
            _queue.RemoveFirst();
            try
            {
                _console.WriteLines(first.Target, [.. _prefix([.. first.LocalRanks]), .. first.Line, (byte)'\n']);
            }
            catch (IOException exception)
            {
                _console.TellBroken(first.Target, exception);
            }
        }
    }

    /// <summary>The lines of one stream of one rank.</summary>
    /// <param name="Folder">Where they are folded.</param>
    /// <param name="LocalRank">The rank.</param>
    public sealed record Lines(LineFolder Folder, int LocalRank);

    private sealed record Waiting(long Number, ConsoleTarget Target, byte[] Line, long Since)
    {
        public SortedSet<int> LocalRanks { get; } = [];
    }
}
