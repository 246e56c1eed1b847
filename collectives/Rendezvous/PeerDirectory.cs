using System.Net;
using System.Security.Cryptography;
using System.Text;
using Distributed.Protos;
using Google.Protobuf;

namespace Distributed.Collectives;

/// <summary>What the ranks of one epoch publish about themselves in the job's store: who shares whose host, and where each listens.</summary>
internal sealed class PeerDirectory
{
    private readonly RendezvousStore _store;
    private readonly int _epoch;
    private readonly Task<PeerAddress>[] _addresses; // [rank]

    /// <summary>Begins to wait for what every other rank publishes.</summary>
    /// <param name="store">Of the job.</param>
    /// <param name="epoch">The restart count.</param>
    /// <param name="rank">This rank.</param>
    /// <param name="worldSize">The number of ranks.</param>
    /// <param name="timeout">How long a rank is waited for.</param>
    /// <param name="cancellationToken">Ends the waits.</param>
    public PeerDirectory(RendezvousStore store, int epoch, int rank, int worldSize, TimeSpan timeout, CancellationToken cancellationToken)
    {
        _store = store;
        _epoch = epoch;
        _addresses = [.. Enumerable.Range(0, worldSize).Select(peer => peer == rank
            ? Task.FromResult(new PeerAddress())
            : ReadAsync(peer, timeout, cancellationToken))];
    }

    /// <summary>What rank <paramref name="peer"/> has published, once it has.</summary>
    public Task<PeerAddress> this[int peer] => _addresses[peer];

    /// <summary>Publishes this rank's address, unless another process has published one for the same rank.</summary>
    /// <exception cref="RendezvousConnectionException">Two processes claim one rank.</exception>
    public async Task PublishAsync(int rank, PeerAddress address, CancellationToken cancellationToken)
    {
        // The host identity is not enough to tell two claims apart.
        address.Claim = UnsafeByteOperations.UnsafeWrap(RandomNumberGenerator.GetBytes(16));
        var value = address.ToByteArray();
        var published = await _store.CompareSetAsync(KeyOf(rank), ReadOnlyMemory<byte>.Empty, value, cancellationToken);
        if (!published.AsSpan().SequenceEqual(value))
        {
            throw new RendezvousConnectionException(
                $"Another process has joined epoch {_epoch} of this job as rank {rank}; each rank is one process, started once.");
        }
    }

    /// <summary>The ranks that have published nothing by now.</summary>
    public IEnumerable<int> Missing() => Enumerable.Range(0, _addresses.Length).Where(peer => !_addresses[peer].IsCompletedSuccessfully);

    /// <summary>This boot of this machine and the launcher's directory for sockets, hashed: two launchers of one machine have two.</summary>
    /// <param name="identity">Stands in for it where given.</param>
    /// <param name="runtimeDirectory">The launcher's directory.</param>
    public static ByteString HostIdentity(string? identity, string runtimeDirectory)
    {
        const string BootId = "/proc/sys/kernel/random/boot_id";
        identity ??= $"{Environment.MachineName} {(File.Exists(BootId) ? File.ReadAllText(BootId).Trim() : "")} {runtimeDirectory}";
        return UnsafeByteOperations.UnsafeWrap(SHA256.HashData(Encoding.UTF8.GetBytes(identity)));
    }

    /// <summary>The TCP endpoint that <paramref name="address"/> names, if it names one.</summary>
    public static IPEndPoint? EndPointOf(PeerAddress address)
        => address.TcpAddress.Length is 4 or 16 && address.TcpPort is > 0 and <= IPEndPoint.MaxPort
            ? new IPEndPoint(new IPAddress(address.TcpAddress.Span), (int)address.TcpPort)
            : null;

    private string KeyOf(int rank) => $"peer/{_epoch}/{rank}";

    private async Task<PeerAddress> ReadAsync(int peer, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var value = await _store.GetAsync(KeyOf(peer), timeout, cancellationToken);
        try
        {
            return PeerAddress.Parser.ParseFrom(value);
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new RendezvousConnectionException($"What the store holds as the address of rank {peer} is not one; run all ranks from one build.", exception);
        }
    }
}
