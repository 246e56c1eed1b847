using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Distributed.Collectives;

/// <summary>
/// A store in this process: what <see cref="StoreServer"/> serves, and enough by itself for ranks that are threads.
/// </summary>
/// <remarks>It holds at most 100,000 keys and 64 MiB; a waiter is woken by the value it waits for and never polls.</remarks>
public sealed class InMemoryStore : RendezvousStore
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, byte[]> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Arrival> _arrivals = new(StringComparer.Ordinal);
    private long _byteCount;

    /// <inheritdoc/>
    public override Task SetAsync(string key, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default)
    {
        Put(key, value);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override async Task<byte[]?> GetChangedAsync(
        string key, ReadOnlyMemory<byte>? known, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        var limit = TimeSpan.FromMilliseconds(StoreLimits.ToMilliseconds(timeout));
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            Arrival arrival;
            lock (_gate)
            {
                if (_values.TryGetValue(key, out var value) && !(known is { } old && old.Span.SequenceEqual(value)))
                {
                    return value;
                }

                arrival = ExpectLocked(key);
            }

            try
            {
                var left = limit - Stopwatch.GetElapsedTime(started);
                await arrival.Came.Task.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, cancellationToken);
            }
            catch (TimeoutException)
            {
                return null;
            }
            finally
            {
                Forget([arrival]);
            }
        }
    }

    /// <inheritdoc/>
    public override Task<long> AddAsync(string key, long delta, CancellationToken cancellationToken = default) => Task.FromResult(Add(key, delta));

    /// <inheritdoc/>
    public override Task<byte[]> CompareSetAsync(
        string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired, CancellationToken cancellationToken = default)
        => Task.FromResult(CompareSet(key, expected, desired));

    internal override async Task<IReadOnlyList<string>> WaitForAsync(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken)
    {
        StoreLimits.CheckKeys(keys);
        var limit = TimeSpan.FromMilliseconds(StoreLimits.ToMilliseconds(timeout));
        var arrivals = Expect(keys);
        try
        {
            await Task.WhenAll(arrivals.Select(arrival => arrival.Came.Task)).WaitAsync(limit, cancellationToken);
            return [];
        }
        catch (TimeoutException)
        {
            return [.. arrivals.Where(arrival => !arrival.Came.Task.IsCompleted).Select(arrival => arrival.Key).Distinct()];
        }
        finally
        {
            Forget(arrivals);
        }
    }

    private void Put(string key, ReadOnlyMemory<byte> value)
    {
        StoreLimits.CheckKey(key);
        StoreLimits.CheckValue(key, value);
        lock (_gate)
        {
            PutLocked(key, value.ToArray());
        }
    }

    private long Add(string key, long delta)
    {
        StoreLimits.CheckKey(key);
        lock (_gate)
        {
            var sum = delta;
            if (_values.TryGetValue(key, out var digits))
            {
                sum = long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
                    && Int128.Abs((Int128)number + delta) <= long.MaxValue
                        ? number + delta
                        : throw new RendezvousRefusedException($"The value under {AbortCause.Bound(key)} is not a number that {delta} can be added to.");
            }

            PutLocked(key, Encoding.ASCII.GetBytes(sum.ToString(CultureInfo.InvariantCulture)));
            return sum;
        }
    }

    private byte[] CompareSet(string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired)
    {
        StoreLimits.CheckKey(key);
        StoreLimits.CheckValue(key, desired);
        lock (_gate)
        {
            var current = _values.GetValueOrDefault(key);
            if (current is null ? expected.IsEmpty : expected.Span.SequenceEqual(current))
            {
                current = desired.ToArray();
                PutLocked(key, current);
            }

            return current is null ? [] : [.. current];
        }
    }

    private void PutLocked(string key, byte[] value)
    {
        var isNew = !_values.TryGetValue(key, out var old);
        var byteCount = _byteCount + value.Length - (old?.Length ?? -(key.Length * sizeof(char)));
        if (byteCount > StoreLimits.MaxByteCount || (isNew && _values.Count == StoreLimits.MaxKeyCount))
        {
            throw new RendezvousRefusedException(
                $"The rendezvous store is full: it holds {_values.Count} of at most {StoreLimits.MaxKeyCount} keys and {_byteCount} of at most {StoreLimits.MaxByteCount} bytes.");
        }

        _values[key] = value;
        _byteCount = byteCount;
        if (_arrivals.Remove(key, out var arrival))
        {
            arrival.Came.SetResult();
        }
    }

    private Arrival[] Expect(IReadOnlyList<string> keys)
    {
        lock (_gate)
        {
            return [.. keys.Select(key => _values.ContainsKey(key) ? Arrival.Past(key) : ExpectLocked(key))];
        }
    }

    /// <summary>The next value that is put under <paramref name="key"/>.</summary>
    private Arrival ExpectLocked(string key)
    {
        if (!_arrivals.TryGetValue(key, out var arrival))
        {
            _arrivals.Add(key, arrival = new Arrival(key));
        }

        arrival.WaiterCount++;
        return arrival;
    }

    private void Forget(Arrival[] arrivals)
    {
        lock (_gate)
        {
            foreach (var arrival in arrivals)
            {
                if (--arrival.WaiterCount == 0 && _arrivals.GetValueOrDefault(arrival.Key) == arrival)
                {
                    _arrivals.Remove(arrival.Key);
                }
            }
        }
    }

    // A key that is waited for: kept while somebody waits, so that keys nobody sets leave nothing behind.
    private sealed class Arrival(string key)
    {
        public string Key { get; } = key;

        public TaskCompletionSource Came { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int WaiterCount { get; set; }

        public static Arrival Past(string key)
        {
            var arrival = new Arrival(key);
            arrival.Came.SetResult();
            return arrival;
        }
    }
}
