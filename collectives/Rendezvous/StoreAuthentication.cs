using System.Security.Cryptography;
using System.Text;
using Distributed.Collectives.Launching;
using Grpc.Core;

namespace Distributed.Collectives;

/// <summary>
/// How a client of the store proves that it belongs to the job: an HMAC of the job's id under the job's secret, with every call. Over TLS
/// the server proves itself first, so that the client's proof reaches nobody else.
/// </summary>
internal sealed class StoreAuthentication(string jobId, JobSecret secret)
{
    /// <summary>Bytes of the nonce of an introduction.</summary>
    public const int NonceByteCount = 32;

    private const string ProofKey = "distrun-proof-bin";
    private const string ServerPurpose = "store server";

    // The proof is the same for every call: it travels inside a socket that only this user can open, or inside TLS.
    private readonly byte[] _proof = secret.Prove("store client", Encoding.UTF8.GetBytes(jobId));

    /// <summary>The metadata of a call.</summary>
    public Metadata ToMetadata() => new() { { ProofKey, _proof } };

    /// <summary>The server's proof: it knows the secret, and the certificate that the client sees is its own, nobody's in between.</summary>
    public byte[] ProveServer(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> certificateHash)
        => secret.Prove(ServerPurpose, [.. nonce, .. certificateHash, .. Encoding.UTF8.GetBytes(jobId)]);

    /// <summary>Whether <paramref name="proof"/> is what <see cref="ProveServer"/> gives.</summary>
    public bool VerifyServer(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> certificateHash, ReadOnlySpan<byte> proof)
        => secret.Verify(ServerPurpose, [.. nonce, .. certificateHash, .. Encoding.UTF8.GetBytes(jobId)], proof);

    /// <exception cref="RpcException">UNAUTHENTICATED: the call does not carry the proof.</exception>
    public void Check(ServerCallContext context)
    {
        var proof = context.RequestHeaders.GetValueBytes(ProofKey);
        if (proof is null || !CryptographicOperations.FixedTimeEquals(proof, _proof))
        {
            throw new RpcException(new Status(StatusCode.Unauthenticated, "the caller does not prove the secret of this job"));
        }
    }
}
