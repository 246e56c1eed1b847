using Distributed.Collectives.Transports.SharedMemory;

namespace Distributed.Collectives.Transports;

/// <summary>The links of one rank to all others, which is all that an algorithm sees of a group.</summary>
/// <param name="rank">This rank.</param>
/// <param name="links">[rank]; <see langword="null"/> at this rank's own place only.</param>
/// <param name="board">What this rank's peers of its host read, if it has one.</param>
internal sealed class PeerMesh(int rank, PeerLink?[] links, PayloadBoard? board = null)
{
    // Shorter payloads lie in the line that says that they are there.
    private const int MinBoardByteCount = 512;

    private SegmentRing[]? _readers; // of the board, among these ranks

    /// <summary>This rank.</summary>
    public int Rank => rank;

    /// <summary>The number of ranks.</summary>
    public int WorldSize => links.Length;

    /// <summary>What has been sent to all of them.</summary>
    public long SentByteCount => links.Sum(link => link?.SentByteCount ?? 0);

    /// <summary>The link to a rank other than this one.</summary>
    public PeerLink this[int peer] => links[peer]!;

    /// <summary>Sends one segment of a message to all other ranks; written once where several of them read this rank's board.</summary>
    /// <param name="payload">[byte]; free for reuse on return.</param>
    /// <param name="messageByteCount">The length of the whole message.</param>
    public void SendToAll(ReadOnlySpan<byte> payload, long messageByteCount)
    {
        var place = board is not null && payload.Length >= MinBoardByteCount && Readers is { Length: > 1 } readers
            ? board.TryPut(payload, readers)
            : PayloadBoard.Nowhere;
        for (var step = 1; step < links.Length; step++)
        {
            // Every rank begins with its right neighbour: not all with rank 0.
            links[(rank + step) % links.Length]!.Send(payload, messageByteCount, place);
        }
    }

    /// <summary>A mesh of some of these ranks, with the same links.</summary>
    /// <param name="ranks">Of this mesh, this rank among them; in their order in the new one.</param>
    public PeerMesh Subset(ReadOnlySpan<int> ranks)
    {
        var own = ranks.IndexOf(rank);
        var subset = new PeerLink?[ranks.Length];
        for (var i = 0; i < subset.Length; i++)
        {
            subset[i] = i == own ? null : links[ranks[i]];
        }

        return new PeerMesh(own, subset, board);
    }

    /// <summary>Gives back the one segment that has been borrowed from each peer.</summary>
    public void ReleaseAll()
    {
        foreach (var link in links)
        {
            link?.Release();
        }
    }

    // Looked for at the first long message: whoever has joined has said whether it reads the board.
    private SegmentRing[] Readers => _readers ??= [.. links.Select(link => link?.BoardReader).OfType<SegmentRing>()];
}
