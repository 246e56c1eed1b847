using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>What the programs under interop/ are told; each reads what it needs.</summary>
internal sealed record PeerSettings
{
    /// <summary>Where a server listens: <c>unix:/path</c>, or host and port 0.</summary>
    public string? Listen { get; init; }

    /// <summary>Where a client connects: <c>unix:/path</c>, or host and port.</summary>
    public string? Connect { get; init; }

    /// <summary>The cases that a client runs.</summary>
    public IEnumerable<string> Cases { get; init; } = [];

    /// <summary>File of the certificate that a server shows and a client trusts.</summary>
    public required string Certificate { get; init; }

    /// <summary>File of the certificate's key.</summary>
    public required string Key { get; init; }

    /// <summary>The file of the messages and methods.</summary>
    public string Proto { get; } = Path.Combine(Repository.Root, "tests", "Rpc.Tests", "Protos", "test.proto");

    /// <summary>The same as a serialized descriptor, for a peer that cannot parse the file.</summary>
    public string Descriptor { get; } = TestReflection.Descriptor.SerializedData.ToBase64();

    /// <summary>Where the official Ruby scripts are.</summary>
    public string? Scripts { get; } = Peer.RubyScripts;

    /// <summary>Writes the <see cref="TestCertificate"/> and its key into a folder.</summary>
    public static PeerSettings In(string folder)
    {
        using var key = System.Security.Cryptography.X509Certificates.ECDsaCertificateExtensions.GetECDsaPrivateKey(TestCertificate.Value);
        var settings = new PeerSettings { Certificate = Path.Combine(folder, "certificate.pem"), Key = Path.Combine(folder, "key.pem") };
        File.WriteAllText(settings.Certificate, TestCertificate.Value.ExportCertificatePem());
        File.WriteAllText(settings.Key, key!.ExportPkcs8PrivateKeyPem()); // it was made with one
        return settings;
    }
}
