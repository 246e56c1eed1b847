using System.Collections.Concurrent;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>How many requests of one key may be under way, so that one client cannot fill the queue of all.</summary>
/// <param name="limit">Requests a key.</param>
internal sealed class KeyQuota(int limit)
{
    private readonly ConcurrentDictionary<string, int> _open = new(StringComparer.Ordinal); // as many entries as there are keys

    /// <summary>Requests a key.</summary>
    public int Limit => limit;

    /// <summary>A place for a request, to be disposed at its end; <see langword="null"/> where there is none.</summary>
    public IDisposable? TryEnter(string client)
    {
        var count = _open.AddOrUpdate(client, 1, static (_, count) => count + 1);
        var place = new Place(this, client);
        if (count <= limit)
        {
            return place;
        }

        place.Dispose();
        return null;
    }

    private sealed class Place(KeyQuota quota, string client) : IDisposable
    {
        private int _isDisposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
            {
                quota._open.AddOrUpdate(client, 0, static (_, count) => count - 1);
            }
        }
    }
}
