namespace Distributed.Collectives.Transports;

/// <summary>How a message is cut: into segments of <see cref="ByteCount"/> and a shorter last one; an empty message is one empty segment.</summary>
/// <param name="MessageByteCount">The length of the message.</param>
internal readonly record struct MessageSegments(int MessageByteCount)
{
    /// <summary>
    /// The length of a segment: large enough that its cost is the copying, small enough that summing one overlaps with receiving the next,
    /// and that its buffers stay out of the large object heap. A multiple of every element size.
    /// </summary>
    public const int ByteCount = 64 << 10;

    /// <summary>The number of segments, at least one.</summary>
    public int Count => Math.Max(1, (int)(((long)MessageByteCount + ByteCount - 1) / ByteCount));

    /// <summary>The place of a segment in the message.</summary>
    public (int Offset, int Length) this[int segment]
    {
        get
        {
            var offset = segment * ByteCount;
            return (offset, Math.Min(ByteCount, MessageByteCount - offset));
        }
    }
}
