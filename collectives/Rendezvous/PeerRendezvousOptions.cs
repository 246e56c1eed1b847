using System.Net;
using Distributed.Collectives.Transports.Grpc;

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

    /// <summary>What connects ranks of one host; <see langword="null"/> for what DISTRUN_TRANSPORT says.</summary>
    public TransportChoice? Transport { get; init; }

    /// <summary>How sums of float32 travel between hosts, the same on every rank; <see langword="null"/> for what DISTRUN_WIRE says, exact by default.</summary>
    public WireFormat? Wire { get; init; }

    /// <summary>
    /// How long a rank may say nothing at all, heartbeats included, before the group ends and names it: a stopped process, or a cut network.
    /// 4 s by default, so that a rank is named within 5; at least 100 ms. A rank that computes is not silent, however long it takes.
    /// </summary>
    public TimeSpan SilenceLimit { get; init; } = PeerPulse.DefaultSilenceLimit;

    /// <summary>
    /// Where each rank writes a trace of its operations when it leaves, in Chrome's format; <see langword="null"/> for nowhere. The rank's
    /// number comes before the extension: trace.json becomes trace.0.json. A world of one writes none.
    /// </summary>
    public string? TraceFile { get; init; }

    /// <summary>
    /// Says which ranks share a host, and so a Unix socket: those of equal identity. <see langword="null"/> for this boot of this
    /// machine and the runtime directory in which its sockets are.
    /// </summary>
    public string? HostIdentity { get; init; }

    /// <summary>
    /// Whether this rank goes on when another one fails and the launcher may start the group again: it is left running, told of the next
    /// attempt (<see cref="Launching.LauncherLink.WaitForNextAttemptAsync"/>), and joins it with the ranks that are started anew. For a rank that
    /// holds what must not be lost, such as the connections of clients. Groups on one host only; elsewhere it is ended like the others.
    /// </summary>
    public bool OutlivesAttempt { get; init; }

    /// <summary>How long a connection and the handshake over it may take; for tests, which would wait for it.</summary>
    internal TimeSpan HandshakeLimit { get; init; } = PeerHandshake.DefaultLimit;

    /// <summary>How often a rank says where it is, at most an eighth of <see cref="SilenceLimit"/>; for tests, which would wait for it.</summary>
    internal TimeSpan HeartbeatInterval { get; init; } = PeerPulse.LongestInterval;
}
