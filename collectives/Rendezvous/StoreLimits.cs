using System.Globalization;
using System.Text;

namespace Distributed.Collectives;

/// <summary>What a store holds at most: it lives in the launcher, which no worker may be able to fill.</summary>
internal static class StoreLimits
{
    /// <summary>Characters of a key.</summary>
    public const int MaxKeyLength = 256;

    /// <summary>Bytes of a value.</summary>
    public const int MaxValueByteCount = 64 << 10;

    /// <summary>Keys of a store.</summary>
    public const int MaxKeyCount = 100_000;

    /// <summary>Keys of one wait: they have to fit into a request.</summary>
    public const int MaxWaitKeyCount = 1000;

    /// <summary>Bytes of all keys and values together.</summary>
    public const long MaxByteCount = 64 << 20;

    /// <exception cref="RendezvousRefusedException">The key is empty or too long.</exception>
    public static void CheckKey(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (key.Length is 0 or > MaxKeyLength)
        {
            throw new RendezvousRefusedException($"A key of the rendezvous store has 1 to {MaxKeyLength} characters; this one has {key.Length}.");
        }
    }

    /// <exception cref="RendezvousRefusedException">The value is too long.</exception>
    public static void CheckValue(string key, ReadOnlyMemory<byte> value)
    {
        if (value.Length > MaxValueByteCount)
        {
            throw new RendezvousRefusedException(
                $"A value of the rendezvous store has at most {MaxValueByteCount} bytes; the one for {AbortCause.Bound(key)} has {value.Length}.");
        }
    }

    /// <exception cref="RendezvousRefusedException">There are too many keys, or one is empty or too long.</exception>
    public static void CheckKeys(IReadOnlyCollection<string> keys)
    {
        ArgumentNullException.ThrowIfNull(keys);
        if (keys.Count > MaxWaitKeyCount)
        {
            throw new RendezvousRefusedException($"A wait names at most {MaxWaitKeyCount} keys; this one names {keys.Count}.");
        }

        foreach (var key in keys)
        {
            CheckKey(key);
        }
    }

    /// <summary>A wait as milliseconds; what is longer than the wire can say is the longest that it can.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The wait is negative: every wait has an end.</exception>
    public static uint ToMilliseconds(TimeSpan timeout)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        return (uint)Math.Min(timeout.TotalMilliseconds, int.MaxValue);
    }

    /// <summary>The sentence for values that did not come.</summary>
    public static RendezvousTimeoutException Missing(IReadOnlyList<string> keys, TimeSpan timeout)
    {
        const int Shown = 16;
        var names = new StringBuilder().AppendJoin(", ", keys.Take(Shown).Select(AbortCause.Bound));
        if (keys.Count > Shown)
        {
            names.Append(CultureInfo.InvariantCulture, $" and {keys.Count - Shown} more");
        }

        return new RendezvousTimeoutException(string.Create(
            CultureInfo.InvariantCulture, $"The rendezvous store has no value for {names} after {timeout.TotalSeconds:0.###} s."));
    }
}
