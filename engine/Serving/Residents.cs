using Distributed.Engine.Model;

namespace Distributed.Engine.Serving;

/// <summary>
/// The requests that have a slot and blocks of the cache, those that had to give theirs up, and those that never had one. The scheduler locks; rows
/// come and go on the model's thread alone.
/// </summary>
/// <param name="cache">The blocks.</param>
/// <param name="slotCount">Requests that run at once.</param>
/// <param name="counters">Told who came and went.</param>
internal sealed class Residents(CacheBlocks cache, int slotCount, SchedulerCounters counters)
{
    private readonly List<ServingRow> _running = []; // the oldest first
    private readonly List<ServingRow> _preempted = [];
    private readonly List<ServingRow> _growing = []; // scratch
    private readonly Stack<int> _freeSlots = new(Enumerable.Range(0, slotCount).Reverse());
    private long _nextNumber;

    /// <summary>Requests that never had a slot.</summary>
    public WaitingQueue Waiting { get; } = new();

    /// <summary>How fast they get one.</summary>
    public DrainRate DrainRate { get; } = new();

    /// <summary>Requests with a slot, the oldest first.</summary>
    public IReadOnlyList<ServingRow> Running => _running;

    /// <summary>Requests that wait for a slot, whether they had one before or not.</summary>
    public int WaitingCount => Waiting.Count + _preempted.Count;

    /// <summary>All requests.</summary>
    public int Count => _running.Count + WaitingCount;

    /// <summary>Whether any request could go on if the model were free.</summary>
    public bool HasWork => Waiting.Count > 0 || _running.Exists(CanGoOn) || _preempted.Exists(CanGoOn);

    /// <summary>Lets those go that have ended or were given up.</summary>
    public void Sweep()
    {
        counters.Cancelled += Waiting.RemoveCancelled();
        _preempted.RemoveAll(IsGone);
        for (var i = _running.Count - 1; i >= 0; i--)
        {
            var row = _running[i];
            if (row.IsFinished || IsGone(row))
            {
                Release(row);
            }
        }
    }

    /// <summary>
    /// Gives each request the blocks for what it runs next, the oldest first. Where none are left the youngest gives up its own and is computed again
    /// later, so the oldest always goes on.
    /// </summary>
    public void Grow()
    {
        _growing.Clear();
        _growing.AddRange(_running);
        foreach (var row in _growing)
        {
            while (row.Slot >= 0 && CanGoOn(row) && !cache.TryReserve(row.Slot, row.WantedCount))
            {
                Preempt(_running.FindLast(other => !CanGoOn(other)) ?? _running[^1]);
            }
        }
    }

    /// <summary>
    /// Gives slots to those that wait: first to those that had one before, the oldest of them in front. Requests whose readers do not read give
    /// theirs up for others.
    /// </summary>
    public void Admit()
    {
        while (Next() is { } next)
        {
            while (!TryPlace(next))
            {
                if (_running.Find(row => !CanGoOn(row)) is not { } stalled)
                {
                    return;
                }

                Preempt(stalled);
            }

            if (next.Number >= 0)
            {
                _preempted.Remove(next);
            }
            else
            {
                Waiting.Dequeue();
                DrainRate.Note();
                next.Number = _nextNumber++;
                NoteCached(next, next.RunCount);
                SchedulerMetrics.QueueTime.Record(next.Age.TotalSeconds);
            }

            var place = _running.FindIndex(row => row.Number > next.Number);
            _running.Insert(place < 0 ? _running.Count : place, next);
        }
    }

    /// <summary>
    /// Has prompts that begin alike and came together read once: the younger waits for the older one's blocks and takes them over, as the choices of one request and
    /// clients with one system message do.
    /// </summary>
    public void Share()
    {
        for (var i = 0; i < _running.Count; i++)
        {
            var row = _running[i];
            row.IsHeld = false;
            if (row.PendingCount <= 1 || row.RunCount % KeyValueCache.BlockLength != 0)
            {
                continue;
            }

            var reusable = row.Tokens[..Math.Max(0, row.ReusableCount)];
            var count = cache.AdoptMore(row.Slot, reusable, row.Call.Request.Client);
            NoteCached(row, count - row.RunCount);
            row.Restart(count);
            row.IsHeld = count + KeyValueCache.BlockLength <= reusable.Length && IsComing(i, reusable[..(count + KeyValueCache.BlockLength)]);
        }
    }

    /// <summary>Takes slot and blocks from a request.</summary>
    public void Release(ServingRow row)
    {
        _running.Remove(row);
        cache.Release(row.Slot);
        _freeSlots.Push(row.Slot);
        row.Slot = -1;
    }

    /// <summary>Takes out every request.</summary>
    public List<ServingRow> Clear()
    {
        List<ServingRow> rows = [.. _running, .. _preempted];
        while (Waiting.Count > 0)
        {
            rows.Add(Waiting.Dequeue());
        }

        _preempted.Clear();
        while (_running.Count > 0)
        {
            Release(_running[^1]);
        }

        return rows;
    }

    // Counts it, so it is asked once about each that is.
    private bool IsGone(ServingRow row)
    {
        if (!row.Call.IsCancelled)
        {
            return false;
        }

        if (row.Call.IsComplete)
        {
            counters.NoteFinished();
        }
        else
        {
            counters.Cancelled++;
        }

        return true;
    }

    private static bool CanGoOn(ServingRow row) => !row.Call.IsWaitingForReader;

    private ServingRow? Next() => _preempted.Where(CanGoOn).MinBy(row => row.Number) ?? (Waiting.TryPeek(out var row) ? row : null);

    // Whether an older row is about to compute the last of these blocks.
    private bool IsComing(int index, ReadOnlySpan<int> tokens)
    {
        for (var i = 0; i < index; i++)
        {
            var (older, row) = (_running[i], _running[index]);
            if (CanGoOn(older)
                && older.Call.Room > 0
                && older.RunCount >= tokens.Length - KeyValueCache.BlockLength
                && older.RunCount < tokens.Length
                && older.WantedCount >= tokens.Length
                && older.Call.Request.Client == row.Call.Request.Client
                && older.Tokens[..tokens.Length].SequenceEqual(tokens))
            {
                return true;
            }
        }

        return false;
    }

    // What a preempted row finds again was told before.
    private void NoteCached(ServingRow row, int count)
    {
        if (!row.WasPreempted)
        {
            count = Math.Min(count, row.PromptLength - row.Call.CachedTokenCount);
            row.Call.CachedTokenCount += count;
            counters.CachedPromptTokens += count;
        }
    }

    // A slot, what is kept of its prefix, and blocks for the rest.
    private bool TryPlace(ServingRow row)
    {
        if (!_freeSlots.TryPop(out var slot))
        {
            return false;
        }

        var cached = cache.Adopt(slot, row.Tokens[..Math.Max(0, row.ReusableCount)], row.Call.Request.Client);
        if (!cache.TryReserve(slot, row.WantedCount))
        {
            cache.Release(slot);
            _freeSlots.Push(slot);
            return false;
        }

        row.Slot = slot;
        row.Restart(cached);
        return true;
    }

    private void Preempt(ServingRow row)
    {
        Release(row);
        row.Restart(0);
        row.WasPreempted = true;
        _preempted.Add(row);
        counters.Preemptions++;
    }
}
