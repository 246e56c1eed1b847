namespace Distributed.Launcher.CommandLine;

/// <summary>How several nodes find each other.</summary>
internal enum RendezvousBackend
{
    /// <summary>Every node is told its rank; node 0 is where it was said to be.</summary>
    Static,

    /// <summary>The node that owns the endpoint serves the store; ranks are agreed there.</summary>
    C10d,

    /// <summary>An etcd cluster (v3) is the store.</summary>
    Etcd,
}

/// <summary>The nodes of a job, as the user gave them, checked.</summary>
internal sealed record NodeOptions
{
    /// <summary>With fewer nodes the job does not start.</summary>
    public required int MinNodes { get; init; }

    /// <summary>With so many it starts at once; further ones wait.</summary>
    public required int MaxNodes { get; init; }

    /// <summary>The rank that this node was given; <see langword="null"/> where none was.</summary>
    public int? NodeRank { get; init; }

    public required RendezvousBackend Backend { get; init; }

    /// <summary>Host of the endpoint, as the user wrote it, without the brackets of an IPv6 address.</summary>
    public required string EndpointHost { get; init; }

    /// <summary>Port of the endpoint; 0 for a free one.</summary>
    public required int EndpointPort { get; init; }

    /// <summary>--rdzv-conf: [name] = value, checked where the name is one of torchrun's.</summary>
    public required IReadOnlyDictionary<string, string> Configuration { get; init; }

    /// <summary>--local-addr: what the others are told to call this node; <see langword="null"/> where it was not said.</summary>
    public string? LocalAddress { get; init; }

    /// <summary>Whether there is nobody to meet.</summary>
    public bool IsOneNode => MaxNodes == 1;
}
