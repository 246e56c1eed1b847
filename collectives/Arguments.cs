using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives;

/// <summary>What the arguments of an operation have to be, said before anything is sent: a group whose caller erred still stands.</summary>
internal static class Arguments
{
    /// <summary>Refuses a part and a whole whose lengths do not fit, or that overlap.</summary>
    public static void ThrowIfNotParts(ReadOnlySpan<byte> part, ReadOnlySpan<byte> all, int worldSize)
    {
        if (all.Length != (long)part.Length * worldSize)
        {
            throw new ArgumentException(
                $"The whole has {all.Length} bytes; {worldSize} ranks with a part of {part.Length} need {(long)part.Length * worldSize}.", nameof(all));
        }

        if (part.Overlaps(all))
        {
            throw new ArgumentException("The part lies inside the whole; pass a copy of it.", nameof(part));
        }
    }

    /// <summary>Refuses an exchange of unequal or overlapping wholes, or one that has no equal parts.</summary>
    public static void ThrowIfNotExchange(ReadOnlySpan<byte> sent, ReadOnlySpan<byte> received, int worldSize)
    {
        if (sent.Length != received.Length || sent.Length % worldSize != 0)
        {
            throw new ArgumentException(
                $"{sent.Length} bytes are to be sent and {received.Length} received; both have to be one number that {worldSize} ranks divide.", nameof(received));
        }

        if (sent.Overlaps(received))
        {
            throw new ArgumentException("What is sent and what is received overlap; pass a copy.", nameof(received));
        }
    }

    /// <summary>Refuses a number of bytes that no number of elements has.</summary>
    public static void ThrowIfNotElements(int byteCount, Reduction reduction)
    {
        if (reduction.Type is < DataType.Float32 or > DataType.Byte || reduction.Operation is < ReduceOperation.Sum or > ReduceOperation.Min)
        {
            throw new ArgumentException($"There is no {reduction.Operation} of {reduction.Type}.", nameof(reduction));
        }

        if (byteCount % reduction.ElementByteCount != 0)
        {
            throw new ArgumentException($"{byteCount} bytes are no whole number of {reduction.Type}, which has {reduction.ElementByteCount}.", nameof(byteCount));
        }
    }

    /// <summary>Refuses a number that no rank has.</summary>
    public static void ThrowIfNotRank(int rank, string name, int worldSize)
    {
        if (rank < 0 || rank >= worldSize)
        {
            throw new ArgumentOutOfRangeException(name, rank, $"The ranks of this group are 0 to {worldSize - 1}.");
        }
    }

    /// <summary>Refuses a rank that is not another one.</summary>
    public static void ThrowIfNotPeer(int peer, int rank, int worldSize)
    {
        ThrowIfNotRank(peer, nameof(peer), worldSize);
        if (peer == rank)
        {
            throw new ArgumentOutOfRangeException(nameof(peer), peer, "A rank does not exchange messages with itself.");
        }
    }

    /// <summary>Refuses ranks that are none, twice there, or not in ascending order.</summary>
    public static void ThrowIfNotSubgroup(ReadOnlySpan<int> ranks, int worldSize)
    {
        if (ranks.IsEmpty)
        {
            throw new ArgumentException("A subgroup has at least one rank.", nameof(ranks));
        }

        for (var i = 0; i < ranks.Length; i++)
        {
            ThrowIfNotRank(ranks[i], nameof(ranks), worldSize);
            if (i > 0 && ranks[i] <= ranks[i - 1])
            {
                throw new ArgumentException($"The ranks of a subgroup go up, and {ranks[i]} follows {ranks[i - 1]}.", nameof(ranks));
            }
        }
    }
}
