namespace Distributed.Collectives;

/// <summary>A failure of a collective operation. The message names operation, tag, both ranks, elapsed time and limit.</summary>
public abstract class CollectiveException : Exception
{
    private protected CollectiveException(string message, int? peerRank, Exception? inner)
        : base(message, inner) => PeerRank = peerRank;

    /// <summary>The rank at fault as far as this one can tell; <see langword="null"/> where there is none.</summary>
    public int? PeerRank { get; }
}

/// <summary>A peer did not do its part of an operation within the limit.</summary>
public sealed class CollectiveTimeoutException(string message, int peerRank) : CollectiveException(message, peerRank, null);

/// <summary>The connection to a peer ended while it was needed: the peer has died, or the network between has.</summary>
public sealed class PeerLostException(string message, int peerRank, Exception? inner = null) : CollectiveException(message, peerRank, inner);

/// <summary>A peer sent what this rank cannot accept: another operation, tag, length or sequence number than its own.</summary>
public sealed class PeerProtocolException(string message, int peerRank) : CollectiveException(message, peerRank, null);

/// <summary>The group had been aborted before; the message repeats the first cause and says that this failure is a consequence.</summary>
/// <param name="message">The first cause, marked as a consequence.</param>
/// <param name="peerRank">The rank that the first cause blames, where it blames one.</param>
public sealed class GroupAbortedException(string message, int? peerRank) : CollectiveException(message, peerRank, null);
