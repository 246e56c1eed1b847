namespace Distributed.Launcher.Rendezvous;

/// <summary>The times of a rendezvous; the defaults are torchrun's.</summary>
internal sealed record RendezvousLimits
{
    /// <summary>How long a node waits for enough others.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>How long enough nodes wait for more.</summary>
    public TimeSpan LastCallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>For what a node does when it leaves, in all.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a node shows that it lives.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many signs of life a node may miss.</summary>
    public int KeepAliveMaxAttempt { get; init; } = 3;

    /// <summary>How long a node whose ranks have succeeded waits for the others.</summary>
    public TimeSpan ExitBarrierTimeout { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>A node that is silent for longer is lost.</summary>
    public TimeSpan KeepAliveTimeout => KeepAliveInterval * KeepAliveMaxAttempt;
}
