using System.Net;

namespace Distributed.Collectives;

/// <summary>How a rank finds its peers.</summary>
public sealed record PeerRendezvousOptions
{
    /// <summary>How long the ranks wait for each other; 60 s by default.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Where this rank listens for ranks of other hosts, if there are any; <see langword="null"/> for the address of the interface that leads to
    /// MASTER_ADDR. A rank whose whole world is on its host never listens on an address.
    /// </summary>
    public IPAddress? ListenAddress { get; init; }

    /// <summary>
    /// Says which ranks share a host, and so a Unix socket: those of equal identity. <see langword="null"/> for this boot of this
    /// machine and the runtime directory in which its sockets are.
    /// </summary>
    public string? HostIdentity { get; init; }
}
