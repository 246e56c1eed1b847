namespace Distributed.Collectives.Transports;

/// <summary>How values are cut into a part for each rank, in rank order: all of one length, but for the end, where parts are shorter or empty.</summary>
/// <param name="TotalByteCount">The length of the values.</param>
/// <param name="PartByteCount">The length of a part.</param>
internal readonly record struct MessageParts(int TotalByteCount, int PartByteCount)
{
    /// <summary>The number of segments of the first part, which is the longest.</summary>
    public int SegmentCount => new MessageSegments(this[0].Length).Count;

    /// <summary>The place of a rank's part.</summary>
    public (int Offset, int Length) this[int rank]
    {
        get
        {
            var offset = (int)Math.Min(TotalByteCount, (long)rank * PartByteCount);
            return (offset, Math.Min(PartByteCount, TotalByteCount - offset));
        }
    }

    /// <summary>Receives one segment of each peer's part into its place, from those whose part has it.</summary>
    public void ReceiveSegment(PeerMesh mesh, int index, Span<byte> all)
    {
        for (var peer = 0; peer < mesh.WorldSize; peer++)
        {
            var (start, partByteCount) = this[peer];
            var segments = new MessageSegments(partByteCount);
            if (peer != mesh.Rank && index < segments.Count)
            {
                var (offset, length) = segments[index];
                mesh[peer].Receive(all.Slice(start + offset, length), partByteCount);
            }
        }
    }
}
