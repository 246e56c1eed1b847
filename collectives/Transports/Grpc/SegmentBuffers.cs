namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// Memory for the payloads that arrive, used again and the last one first, so that it is in the cache: a new array for each would be cleared, written and read
/// where nothing was before, which costs as much as all copies of a segment together.
/// </summary>
internal static class SegmentBuffers
{
    // Shorter ones are cheaper to make than to keep.
    private const int MinByteCount = 1024;

    // What is given back beyond this is left to the collector.
    private const int MaxKeptCount = 64;

    private static readonly Lock Gate = new();
    private static readonly Stack<byte[]> Kept = new(MaxKeptCount);

    /// <summary>Memory of that length.</summary>
    public static Memory<byte> Take(int byteCount)
    {
        if (byteCount is < MinByteCount or > MessageSegments.ByteCount)
        {
            return new byte[byteCount];
        }

        lock (Gate)
        {
            return (Kept.TryPop(out var kept) ? kept : new byte[MessageSegments.ByteCount]).AsMemory(0, byteCount);
        }
    }

    /// <summary>Takes memory back, wherever it came from; nobody uses it any more.</summary>
    public static void Return(ArraySegment<byte> bytes)
    {
        if (bytes.Array is { Length: MessageSegments.ByteCount } array)
        {
            lock (Gate)
            {
                if (Kept.Count < MaxKeptCount)
                {
                    Kept.Push(array);
                }
            }
        }
    }
}
