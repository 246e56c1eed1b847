namespace Distributed.Collectives;

/// <summary>How an etcd cluster is reached.</summary>
public sealed record EtcdOptions
{
    /// <summary>A name or an address.</summary>
    public required string Host { get; init; }

    /// <summary>The port for clients; 2379 as a rule.</summary>
    public int Port { get; init; } = 2379;

    /// <summary>Whether the connection is encrypted.</summary>
    public bool UsesTls { get; init; }

    /// <summary>PEM file of the authority that has signed etcd's certificate; <see langword="null"/> for those that the system trusts.</summary>
    public string? AuthorityFile { get; init; }

    /// <summary>PEM file of the certificate that this client shows; <see langword="null"/> for none.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>PEM file of the certificate's key.</summary>
    public string? KeyFile { get; init; }

    /// <summary>How long the keys stay when nobody keeps them.</summary>
    public TimeSpan Lifetime { get; init; } = TimeSpan.FromSeconds(60);
}
