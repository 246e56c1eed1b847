using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Algorithms;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives;

/// <summary>
/// Connects one rank with all others: it listens for the higher ranks, dials the lower ones, and owns what that takes for as long as the
/// group lives. The highest rank listens nowhere.
/// </summary>
internal sealed class PeerConnector : IDisposable
{
    private readonly PeerIdentity _self;
    private readonly PeerRendezvousOptions _options;
    private readonly PeerDirectory _directory;
    private readonly string _socketDirectory;
    private readonly string? _storeAddress;
    private readonly ByteString _hostIdentity;
    private readonly IPAddress? _tcpAddress;
    private readonly X509Certificate2? _certificate;
    private readonly TransportChoice _choice;
    private readonly WireFormat _wire;
    private readonly GroupFailure _failure;
    private readonly RunningOperation _operation;
    private readonly List<IDisposable> _connections = [];
    private readonly Dictionary<int, Task<PeerTransport>> _transports = [];
    private readonly SharedMemoryOffer? _board;
    private PeerListener? _listener;
    private PeerPulse? _pulse;

    /// <param name="self">This rank.</param>
    /// <param name="environment">Which ranks share the node, and where the sockets are.</param>
    /// <param name="options">Limits and addresses.</param>
    /// <param name="directory">Where the other ranks say how they are reached.</param>
    public PeerConnector(PeerIdentity self, RankEnvironment environment, PeerRendezvousOptions options, PeerDirectory directory)
    {
        _self = self;
        _options = options;
        _directory = directory;
        _socketDirectory = environment.RuntimeDirectory!; // checked by the caller
        _storeAddress = environment.StoreAddress;
        _hostIdentity = PeerDirectory.HostIdentity(options.HostIdentity, _socketDirectory);
        _choice = options.Transport ?? TransportNames.FromProcess();
        _wire = options.Wire ?? WireNames.FromProcess();
        var traceFile = options.TraceFile is { } file ? Path.ChangeExtension(file, $"{self.Rank}{Path.GetExtension(file)}") : null;
        _operation = new RunningOperation(self.Rank, new OperationLog(traceFile), ProgressPageWriter.TryCreate(_socketDirectory, self.Rank, self.Epoch));
        _failure = new GroupFailure(_operation);

        // Between two a payload has one reader, and lies in its segment.
        _board = environment.LocalWorldSize > 2 && _choice != TransportChoice.Grpc ? SharedMemoryRegion.TryCreate(_socketDirectory, SharedMemoryKind.Board) : null;
        if (environment.LocalWorldSize < environment.WorldSize)
        {
            _certificate = PeerCertificate.Create(self);
            _tcpAddress = options.ListenAddress ?? AddressTowards(environment.MasterAddress);
        }
    }

    private bool IsHighest => _self.Rank == _self.WorldSize - 1;

    /// <summary>Listens, publishes, dials and is dialled.</summary>
    /// <exception cref="RendezvousException">A peer refuses, or is refused, or does not come.</exception>
    /// <exception cref="OperationCanceledException">The time ran out; <see cref="MissingRanks"/> says for whom.</exception>
    public async Task<PeerProcessGroup> ConnectAsync(CancellationToken cancellationToken)
    {
        if (!IsHighest)
        {
            await ListenAsync(cancellationToken);
        }

        await PublishAsync(cancellationToken);

        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        for (var peer = 0; peer < _self.WorldSize; peer++)
        {
            if (peer != _self.Rank)
            {
                _transports[peer] = peer < _self.Rank ? DialAsync(peer, attempt.Token) : _listener!.AcceptAsync(peer).WaitAsync(attempt.Token);
            }
        }

        try
        {
            // The first that fails ends the attempt; the others would wait out their time.
            await foreach (var transport in Task.WhenEach(_transports.Values))
            {
                await transport;
            }
        }
        catch
        {
            await attempt.CancelAsync();
            await ((Task)Task.WhenAll(_transports.Values)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // nothing is left under way
            throw;
        }

        var transports = _transports.Values.Select(transport => transport.Result).ToArray();
        var streams = Array.ConvertAll(transports, transport => transport as GrpcTransport ?? ((SharedMemoryTransport)transport).Control);
        _pulse = new PeerPulse(streams, _operation, _failure, _options.SilenceLimit, _options.HeartbeatInterval);
        var hosts = _certificate is null ? null : HostMap.Of(await HostsAsync(cancellationToken)); // without one all ranks share this host
        return new PeerProcessGroup(_operation, _failure, transports, Describe(transports, hosts is null ? WireFormat.Exact : _wire), hosts, _wire, _board?.Region.Board, this);
    }

    /// <summary>Takes away what the ranks no longer need to find each other, once all have joined.</summary>
    public void EndJoining() => _board?.Dispose();

    /// <summary>The ranks that are not connected by now.</summary>
    public IReadOnlyList<int> MissingRanks()
        => [.. Enumerable.Range(0, _self.WorldSize).Where(peer => peer != _self.Rank && _transports.GetValueOrDefault(peer) is not { IsCompletedSuccessfully: true })];

    /// <summary>Ends every connection and stops listening.</summary>
    public void Dispose()
    {
        _pulse?.Dispose();
        foreach (var transport in _transports.Values.Where(transport => transport.IsCompletedSuccessfully))
        {
            transport.Result.Dispose();
        }

        _connections.ForEach(connection => connection.Dispose());
        _listener?.DisposeAsync().AsTask().Wait(_options.HandshakeLimit);
        _certificate?.Dispose();
        _board?.Dispose();
        _operation.Dispose();
    }

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        var path = RuntimeDirectory.SocketOf(_socketDirectory, _self.Rank);
        UnixSocketAddress.CheckLength(path);
        try
        {
            await RuntimeDirectory.ReleaseAsync(path, cancellationToken);
            _listener = await PeerListener.StartAsync(
                _self, _failure, _choice, path, _board?.Message, _tcpAddress, _certificate, _options.HandshakeLimit, cancellationToken);
        }
        catch (IOException exception)
        {
            throw new RendezvousConnectionException($"Rank {_self.Rank} cannot listen for its peers: {exception.GetBaseException().Message}.", exception);
        }
    }

    private async Task PublishAsync(CancellationToken cancellationToken)
    {
        var address = new PeerAddress { HostIdentity = _hostIdentity };
        if (_listener is { Port: > 0 } listener)
        {
            address.TcpAddress = UnsafeByteOperations.UnsafeWrap(_tcpAddress!.GetAddressBytes()); // it listens on this address
            address.TcpPort = (uint)listener.Port;
        }

        try
        {
            await _directory.PublishAsync(_self.Rank, address, cancellationToken);
        }
        catch (OperationCanceledException exception)
        {
            throw new RendezvousConnectionException(string.Create(
                CultureInfo.InvariantCulture,
                $"The rendezvous store at {_storeAddress} did not answer within {_options.Timeout.TotalSeconds:0.###} s; its launcher has to be running."), exception);
        }
    }

    // [rank], all of which have published by now.
    private async Task<ByteString[]> HostsAsync(CancellationToken cancellationToken)
    {
        var identities = new ByteString[_self.WorldSize];
        for (var rank = 0; rank < identities.Length; rank++)
        {
            identities[rank] = rank == _self.Rank ? _hostIdentity : (await _directory[rank].WaitAsync(cancellationToken)).HostIdentity;
        }

        return identities;
    }

    private async Task<PeerTransport> DialAsync(int peer, CancellationToken cancellationToken)
    {
        var address = await _directory[peer].WaitAsync(cancellationToken);
        var isLocal = address.HostIdentity.Equals(_hostIdentity);
        var channel = Track(isLocal ? OpenLocal(peer) : OpenRemote(peer, address));
        var call = Track(channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerMethod.Connect, host: null, new CallOptions())); // outlives this attempt
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_options.HandshakeLimit);
        SharedMemoryRegion? region = null, board = null;
        try
        {
            var welcome = await PeerHandshake.DialAsync(_self, peer, call.ResponseStream, call.RequestStream, limit.Token);
            if (welcome.SharedMemory is { } offer)
            {
                region = isLocal && _choice != TransportChoice.Grpc ? SharedMemoryRegion.TryOpen(_socketDirectory, offer, SharedMemoryKind.Pair) : null;
                board = region is null ? null : SharedMemoryRegion.TryOpenBoard(_socketDirectory, welcome.Board);
                await PeerHandshake.AnswerAsync(call.RequestStream, region is not null, region is null ? null : _board?.Message, limit.Token);
            }
        }
        catch (Exception exception) when (exception is RpcException or OperationCanceledException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var reason = limit.IsCancellationRequested ? $"the handshake was not done within {_options.HandshakeLimit.TotalSeconds} s" : Reason(exception);
            throw new RendezvousConnectionException($"Rank {_self.Rank} cannot connect to rank {peer}: {reason}.", exception);
        }

        var stream = new PeerStream(call.ResponseStream, call.RequestStream, call.RequestStream.CompleteAsync, call.Dispose);
        var transport = new GrpcTransport(peer, stream, isProtected: !isLocal, carriesSegments: region is null, _failure);
        return region is not null ? new SharedMemoryTransport(transport, region, isLower: false, _failure, _board is not null, board)
            : !isLocal || _choice != TransportChoice.SharedMemory ? transport
            : throw new RendezvousConnectionException(Sentence(SharedMemoryRegion.Missing(_self.Rank, peer)));
    }

    private static string Sentence(string clause) => $"{char.ToUpperInvariant(clause[0])}{clause.AsSpan(1)}.";

    private GrpcChannel OpenLocal(int peer) => PeerChannel.OpenUnix(RuntimeDirectory.SocketOf(_socketDirectory, peer), _options.HandshakeLimit);

    private GrpcChannel OpenRemote(int peer, PeerAddress address)
        => PeerDirectory.EndPointOf(address) is { } endPoint && _certificate is not null
            ? PeerChannel.OpenTls(endPoint, _certificate, _self, peer, _options.HandshakeLimit)
            : throw new RendezvousConnectionException(
                $"Rank {peer} is on another host than rank {_self.Rank}, but LOCAL_WORLD_SIZE says that all ranks share one; start each host's ranks with its own distrun.");

    private T Track<T>(T connection)
        where T : IDisposable
    {
        lock (_connections)
        {
            _connections.Add(connection);
        }

        return connection;
    }

    private static string Reason(Exception exception)
        => exception is RpcException rpc
            ? AbortCause.Bound(rpc.Status.DebugException?.GetBaseException().Message ?? rpc.Status.Detail).TrimEnd('.')
            : exception.Message;

    // Connecting a datagram socket sends nothing; it asks the system which interface leads there.
    private static IPAddress AddressTowards(string host)
    {
        try
        {
            using var probe = new Socket(SocketType.Dgram, ProtocolType.Udp);
            probe.Connect(host, port: 9);
            var address = ((IPEndPoint)probe.LocalEndPoint!).Address; // a connected socket has one
            return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        }
        catch (SocketException exception)
        {
            throw new RendezvousConnectionException(
                $"No interface of this host leads to MASTER_ADDR={AbortCause.Bound(host)} ({exception.Message}), so this rank does not know where to listen for ranks of other hosts.", exception);
        }
    }

    // "shared memory, 2 ranks on this host", or "shared memory to rank 1; gRPC over TLS to ranks 2, 3".
    private static string Describe(PeerTransport[] transports, WireFormat wire)
    {
        var narrow = wire == WireFormat.Exact ? "" : $"; sums between hosts as {WireNames.NameOf(wire)}, so not canonical";
        var groups = transports.GroupBy(transport => transport.Name, transport => transport.PeerRank).ToArray();
        return (groups.Length > 1
            ? string.Join("; ", groups.Select(group => $"{group.Key} to {(group.Count() == 1 ? "rank" : "ranks")} {string.Join(", ", group.Order())}"))
            : $"{groups[0].Key}, {transports.Length + 1} ranks on {(transports[0] is GrpcTransport { IsProtected: true } ? "different hosts" : "this host")}") + narrow;
    }
}
