namespace Distributed.Collectives.Transports;

/// <summary>The links of one rank to all others, which is all that an algorithm sees of a group.</summary>
/// <param name="rank">This rank.</param>
/// <param name="links">[rank]; <see langword="null"/> at this rank's own place only.</param>
internal sealed class PeerMesh(int rank, PeerLink?[] links)
{
    /// <summary>This rank.</summary>
    public int Rank => rank;

    /// <summary>The number of ranks.</summary>
    public int WorldSize => links.Length;

    /// <summary>What has been sent to all of them.</summary>
    public long SentByteCount => links.Sum(link => link?.SentByteCount ?? 0);

    /// <summary>The link to a rank other than this one.</summary>
    public PeerLink this[int peer] => links[peer]!;

    /// <summary>Gives back the one segment that has been borrowed from each peer.</summary>
    public void ReleaseAll()
    {
        foreach (var link in links)
        {
            link?.Release();
        }
    }
}
