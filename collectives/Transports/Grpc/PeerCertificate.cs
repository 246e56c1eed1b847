using System.Buffers.Binary;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// The certificate of one rank for one epoch of one job: made when the rank starts and never written anywhere. The job's secret is its authority: an extension has the
/// epoch, the rank, and an HMAC over these, the job and the certificate's public key. Who knows the secret can issue and check, and those are the same; so it takes no
/// key pair of an authority, which somebody would have to hand out, and no chain.
/// </summary>
internal static class PeerCertificate
{
    private const string Purpose = "peer certificate";
    private const string VoucherOid = "2.25.183279464302213862706361823402945307329"; // of a random UUID (X.667)
    private const int ProofOffset = 2 * sizeof(int);
    private const int VoucherByteCount = ProofOffset + HMACSHA256.HashSizeInBytes;

    /// <summary>TLS 1.3; also 1.2 where the system's TLS may lack it.</summary>
    public static SslProtocols Protocols { get; } = OperatingSystem.IsLinux() ? SslProtocols.Tls13 : SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>Makes a rank's certificate with its key.</summary>
    public static X509Certificate2 Create(PeerIdentity self) => Create($"CN=rank {self.Rank} of epoch {self.Epoch}", self);

    /// <summary>Makes a certificate with its key, for which nobody vouches.</summary>
    /// <param name="subject">Whose, as a distinguished name; said to people, and checked by nobody.</param>
    public static X509Certificate2 Create(string subject) => Create(subject, voucher: null);

    /// <summary>Whether the job's secret vouches for a certificate, of whatever rank and epoch.</summary>
    /// <param name="certificate">What the other side has shown.</param>
    /// <param name="self">The job and its secret.</param>
    /// <param name="owner">Whose it is.</param>
    public static bool IsOfJob(X509Certificate? certificate, PeerIdentity self, out (int Epoch, int Rank) owner)
    {
        owner = default;
        if (certificate is not X509Certificate2 shown || shown.Extensions[VoucherOid]?.RawData is not { Length: VoucherByteCount } voucher)
        {
            return false;
        }

        owner = (BinaryPrimitives.ReadInt32BigEndian(voucher), BinaryPrimitives.ReadInt32BigEndian(voucher.AsSpan(sizeof(int))));
        return self.Secret.Verify(Purpose, Vouched(self.JobId, voucher, shown.PublicKey), voucher.AsSpan(ProofOffset));
    }

    /// <summary>What is wrong with the certificate of a rank, in words for the one who dials it; null where nothing is.</summary>
    public static string? Refusal(X509Certificate? certificate, PeerIdentity self, int peer)
        => !IsOfJob(certificate, self, out var owner) ? $"the certificate shown in the place of rank {peer} was not issued by this job"
            : owner != (self.Epoch, peer) ? $"the certificate shown is that of rank {owner.Rank} of epoch {owner.Epoch}, and not of rank {peer} of epoch {self.Epoch}"
            : null;

    // The job and the public key have no fixed lengths; the first is preceded by its own.
    private static byte[] Vouched(string jobId, ReadOnlySpan<byte> voucher, PublicKey key)
    {
        var job = Encoding.UTF8.GetBytes(jobId);
        var length = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(length, job.Length);
        return [.. voucher[..ProofOffset], .. length, .. job, .. key.ExportSubjectPublicKeyInfo()];
    }

    private static X509Certificate2 Create(string subject, PeerIdentity? voucher)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid("1.3.6.1.5.5.7.3.1", "serverAuth"), new Oid("1.3.6.1.5.5.7.3.2", "clientAuth")], critical: true));

        if (voucher is { } identity)
        {
            var bytes = new byte[VoucherByteCount];
            BinaryPrimitives.WriteInt32BigEndian(bytes, identity.Epoch);
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(sizeof(int)), identity.Rank);
            identity.Secret.Prove(Purpose, Vouched(identity.JobId, bytes, new PublicKey(key))).CopyTo(bytes, ProofOffset);
            request.CertificateExtensions.Add(new X509Extension(VoucherOid, bytes, critical: false));
        }

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
