using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Hosting.Http2;
using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;
using Grpc.Core;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>Takes the connections of the higher ranks, which dial this one.</summary>
internal sealed class PeerListener : IAsyncDisposable
{
    private readonly PeerIdentity _self;
    private readonly GroupFailure _failure;
    private readonly TimeSpan _handshakeLimit;
    private readonly TransportChoice _choice;
    private readonly string _directory;
    private readonly MemoryOffer? _board;
    private readonly TaskCompletionSource<PeerTransport>[] _accepted; // [rank - own rank - 1]
    private readonly bool[] _isTaken;
    private GrpcHost? _host;

    private PeerListener(
        PeerIdentity self, GroupFailure failure, TransportChoice choice, string directory, MemoryOffer? board, TimeSpan handshakeLimit)
    {
        _self = self;
        _failure = failure;
        _choice = choice;
        _directory = directory;
        _board = board;
        _handshakeLimit = handshakeLimit;
        var higherRankCount = self.WorldSize - self.Rank - 1;
        _accepted = [.. Enumerable.Range(0, higherRankCount).Select(_ => new TaskCompletionSource<PeerTransport>(TaskCreationOptions.RunContinuationsAsynchronously))];
        _isTaken = new bool[higherRankCount];
    }

    /// <summary>The port of the TCP endpoint; 0 where there is none.</summary>
    public int Port { get; private set; }

    /// <summary>Starts to listen.</summary>
    /// <param name="self">This rank.</param>
    /// <param name="failure">Of this rank's group.</param>
    /// <param name="choice">What connects the ranks of this host.</param>
    /// <param name="unixSocketPath">Where the ranks of this host connect, in the job's directory.</param>
    /// <param name="board">What this rank offers to all of these, if it does.</param>
    /// <param name="tcpAddress">Where the ranks of other hosts connect, if there are any.</param>
    /// <param name="certificate">This rank's certificate, for <paramref name="tcpAddress"/>.</param>
    /// <param name="handshakeLimit">How long a caller may take to prove itself.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="IOException">An endpoint is taken.</exception>
    public static async Task<PeerListener> StartAsync(
        PeerIdentity self,
        GroupFailure failure,
        TransportChoice choice,
        string unixSocketPath,
        MemoryOffer? board,
        IPAddress? tcpAddress,
        X509Certificate2? certificate,
        TimeSpan handshakeLimit,
        CancellationToken cancellationToken)
    {
        var listener = new PeerListener(self, failure, choice, Path.GetDirectoryName(unixSocketPath)!, board, handshakeLimit); // a file has a directory
        var server = new CallServer(new CallServerOptions(
            unixSocketPath, tcpAddress, tcpAddress is null ? null : Protection(self, certificate!), MaxConnectionCount: (4 * self.WorldSize) + 8)); // one address has the other
        listener._host = await GrpcHost.StartAsync(new PeerService(listener), PeerChannel.MaxMessageByteCount, server, cancellationToken);
        listener.Port = server.Port;
        return listener;
    }

    /// <summary>The connection of a higher rank, once it has dialled and proved itself.</summary>
    public Task<PeerTransport> AcceptAsync(int peer) => _accepted[peer - _self.Rank - 1].Task;

    /// <summary>Serves one call: the handshake, and then the stream until it ends.</summary>
    public async Task ServeAsync(IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, ServerCallContext context)
    {
        var (peer, isProtected, region, board) = await HandshakeAsync(reader, writer, context);
        var killed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var stream = new PeerStream(reader, writer, Complete: () => Task.CompletedTask, Kill: () => killed.TrySetResult());
        var transport = new GrpcTransport(peer, stream, isProtected, carriesSegments: region is null, _failure);
        _accepted[peer - _self.Rank - 1].SetResult(region is null ? transport : new SharedMemoryTransport(transport, region, isLower: true, _failure, _board is not null, board));

        if (await Task.WhenAny(transport.Ended, killed.Task) == killed.Task && !transport.Ended.IsCompleted)
        {
            context.GetHttpContext().Abort();
            await transport.Ended;
        }
    }

    /// <summary>Closes the endpoints, whose socket file disappears, and every connection.</summary>
    public ValueTask DisposeAsync() => _host?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static SslServerAuthenticationOptions Protection(PeerIdentity self, X509Certificate2 certificate) => new()
    {
        ServerCertificateContext = SslStreamCertificateContext.Create(certificate, additionalCertificates: null, offline: true),
        EnabledSslProtocols = PeerCertificate.Protocols,
        ApplicationProtocols = [SslApplicationProtocol.Http2],
        ClientCertificateRequired = true,
        RemoteCertificateValidationCallback = (_, shown, _, _) => PeerCertificate.IsOfJob(shown, self, out var _), // of whom HandshakeAsync asks, and says
    };

    private async Task<(int Peer, bool IsProtected, SharedMemoryRegion? Region, SharedMemoryRegion? Board)> HandshakeAsync(
        IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, ServerCallContext context)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken);
        limit.CancelAfter(_handshakeLimit);
        try
        {
            var peer = await PeerHandshake.AcceptAsync(_self, reader, writer, limit.Token);
            var http = context.GetHttpContext();
            if (http.Request.IsHttps)
            {
                if (PeerCertificate.Refusal(http.Connection.ClientCertificate, _self, peer) is { } refusal)
                {
                    throw PeerHandshake.Refusal(StatusCode.Unauthenticated, refusal);
                }
            }

            if (Interlocked.Exchange(ref _isTaken[peer - _self.Rank - 1], true))
            {
                throw PeerHandshake.Refusal(StatusCode.AlreadyExists, $"rank {peer} is connected to rank {_self.Rank} already; two processes claim its number");
            }

            var (region, board) = await WelcomeAsync(peer, isLocal: !http.Request.IsHttps, reader, writer, limit.Token);
            return (peer, http.Request.IsHttps, region, board);
        }
        catch (OperationCanceledException) when (!context.CancellationToken.IsCancellationRequested)
        {
            throw PeerHandshake.Refusal(StatusCode.DeadlineExceeded, $"the handshake was not done within {_handshakeLimit.TotalSeconds} s");
        }
    }

    // Returns the memory that the two share from now on, and the peer's board, if there are.
    private async Task<(SharedMemoryRegion? Region, SharedMemoryRegion? Board)> WelcomeAsync(
        int peer, bool isLocal, IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, CancellationToken cancellationToken)
    {
        using var offer = isLocal && _choice != TransportChoice.Grpc ? SharedMemoryRegion.TryCreate(_directory, SharedMemoryKind.Pair) : null;
        var answer = await PeerHandshake.WelcomeAsync(reader, writer, offer?.Message, offer is null ? null : _board, cancellationToken);
        if (answer.IsMapped && offer is not null)
        {
            return (offer.Region, SharedMemoryRegion.TryOpenBoard(_directory, answer.Board));
        }

        return !isLocal || _choice != TransportChoice.SharedMemory
            ? default
            : throw PeerHandshake.Refusal(StatusCode.FailedPrecondition, SharedMemoryRegion.Missing(_self.Rank, peer));
    }
}

/// <summary>What the server calls.</summary>
internal sealed class PeerService(PeerListener listener) : PeerServiceBase
{
    public override Task Connect(IAsyncStreamReader<PeerFrame> requestStream, IServerStreamWriter<PeerFrame> responseStream, ServerCallContext context)
        => listener.ServeAsync(requestStream, responseStream, context);
}
