using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// The certificate of one rank for one epoch: made when the rank starts, never written anywhere, and trusted by its peers because its hash
/// is in the job's authenticated store. No authority signs it, so nothing but the hash is checked.
/// </summary>
internal static class PeerCertificate
{
    /// <summary>TLS 1.3; also 1.2 where the system's TLS may lack it.</summary>
    public static SslProtocols Protocols { get; } = OperatingSystem.IsLinux() ? SslProtocols.Tls13 : SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>Makes a rank's certificate with its key.</summary>
    public static X509Certificate2 Create(PeerIdentity self) => Create($"CN=rank {self.Rank} of epoch {self.Epoch}");

    /// <summary>Makes a certificate with its key.</summary>
    /// <param name="subject">Whose, as a distinguished name; said to people, and checked by nobody.</param>
    public static X509Certificate2 Create(string subject)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid("1.3.6.1.5.5.7.3.1", "serverAuth"), new Oid("1.3.6.1.5.5.7.3.2", "clientAuth")], critical: true));

        // From a little before now: the peers' clocks differ.
        var now = DateTimeOffset.UtcNow;
        var certificate = request.CreateSelfSigned(now.AddMinutes(-5), now.AddDays(30));
        if (!OperatingSystem.IsWindows())
        {
            return certificate;
        }

        // SChannel does not use a key that is only in memory.
        using (certificate)
        {
            return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), password: null);
        }
    }

    /// <summary>SHA-256 of the certificate, by which the peers know it.</summary>
    public static byte[] HashOf(X509Certificate certificate) => SHA256.HashData(certificate.GetRawCertData());
}
