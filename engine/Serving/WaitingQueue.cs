using System.Diagnostics.CodeAnalysis;

namespace Distributed.Engine.Serving;

/// <summary>
/// Requests that wait for a slot: first come, first served within a client, and clients in turn, so that one with a thousand requests delays another by
/// one. Its owner locks.
/// </summary>
internal sealed class WaitingQueue
{
    private readonly Dictionary<string, Queue<ServingRow>> _byClient = new(StringComparer.Ordinal); // none is empty
    private readonly Queue<string> _turns = []; // the clients, the next one first

    /// <summary>Requests.</summary>
    public int Count { get; private set; }

    /// <summary>Tokens that they may come to have.</summary>
    public long TokenCount { get; private set; }

    public void Enqueue(ServingRow row)
    {
        var client = row.Call.Request.Client;
        if (!_byClient.TryGetValue(client, out var rows))
        {
            _byClient.Add(client, rows = []);
            _turns.Enqueue(client);
        }

        rows.Enqueue(row);
        Count++;
        TokenCount += row.MaxTokenCount;
    }

    /// <summary>The request that is next; it stays.</summary>
    public bool TryPeek([NotNullWhen(true)] out ServingRow? row)
    {
        row = _turns.TryPeek(out var client) ? _byClient[client].Peek() : null;
        return row is not null;
    }

    /// <summary>Takes the request that is next; the turn passes to the next client.</summary>
    public ServingRow Dequeue()
    {
        var client = _turns.Dequeue();
        var rows = _byClient[client];
        var row = rows.Dequeue();
        if (rows.Count > 0)
        {
            _turns.Enqueue(client);
        }
        else
        {
            _byClient.Remove(client);
        }

        Count--;
        TokenCount -= row.MaxTokenCount;
        return row;
    }

    /// <summary>Takes out those that were given up; nobody loses a turn.</summary>
    /// <returns>How many there were.</returns>
    public int RemoveCancelled()
    {
        var before = Count;
        for (var turns = _turns.Count; turns > 0; turns--)
        {
            var client = _turns.Dequeue();
            var rows = _byClient[client];
            for (var left = rows.Count; left > 0; left--)
            {
                var row = rows.Dequeue();
                if (row.Call.IsCancelled)
                {
                    Count--;
                    TokenCount -= row.MaxTokenCount;
                }
                else
                {
                    rows.Enqueue(row);
                }
            }

            if (rows.Count > 0)
            {
                _turns.Enqueue(client);
            }
            else
            {
                _byClient.Remove(client);
            }
        }

        return before - Count;
    }
}
