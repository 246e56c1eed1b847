using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives;

/// <summary>The view that a rank, or the launcher of another host, has of the store that a launcher serves (<see cref="StoreServer"/>).</summary>
public sealed class GrpcStore : RendezvousStore
{
    // For the store to come up, and for a call that does not wait to be answered.
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(30);

    // What a wait's answer may take beyond the wait.
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(2);

    /// <summary>Between hosts, silence for this long is answered by a ping.</summary>
    internal static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(5);

    /// <summary>An unanswered ping ends the connection after this.</summary>
    internal static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(10);

    private readonly string _address;
    private readonly GrpcChannel _channel;
    private readonly Store.StoreClient _client;
    private readonly Metadata _metadata;

    private GrpcStore(string address, GrpcChannel channel, StoreAuthentication authentication)
    {
        _address = address;
        _channel = channel;
        _client = new Store.StoreClient(channel);
        _metadata = authentication.ToMetadata();
    }

    /// <summary>Names the store; the first call connects, and waits up to 30 s for the store to come up.</summary>
    /// <param name="address">"unix:/path", from DISTRUN_STORE.</param>
    /// <param name="jobId">The job.</param>
    /// <param name="secret">The job's secret.</param>
    /// <exception cref="RendezvousConnectionException">The address is not one.</exception>
    public static GrpcStore Connect(string address, string jobId, JobSecret secret)
    {
        ArgumentNullException.ThrowIfNull(address);
        var path = UnixSocketAddress.PathOf(address);
        UnixSocketAddress.CheckLength(path);
        return new GrpcStore(address, GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions { HttpHandler = UnixChannel.CreateHandler(path, CallLimit), DisposeHttpClient = true }), new StoreAuthentication(jobId, secret));
    }

    /// <summary>
    /// Connects over TLS with a store on another host, which has to prove that it knows the secret before this process shows that it does.
    /// </summary>
    /// <param name="host">A name, which is looked up as it is, or an address.</param>
    /// <param name="port">The port.</param>
    /// <param name="jobId">The job.</param>
    /// <param name="secret">What the job's launchers share.</param>
    /// <param name="limit">For the connection and the proof.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">Nobody listens there yet, or who listens does not answer in time.</exception>
    /// <exception cref="RendezvousRefusedException">Who listens knows another secret, or serves another job.</exception>
    public static async Task<GrpcStore> ConnectTlsAsync(
        string host, int port, string jobId, JobSecret secret, TimeSpan limit, CancellationToken cancellationToken = default)
    {
        var endpoint = new DnsEndPoint(host, port);
        var authentication = new StoreAuthentication(jobId, secret);
        var pin = new CertificatePin();
        var channel = TlsChannel.Open(endpoint, pin, limit);
        var store = new GrpcStore(TlsChannel.AddressOf(endpoint), channel, authentication);
        try
        {
            var nonce = RandomNumberGenerator.GetBytes(StoreAuthentication.NonceByteCount);
            var request = new IntroduceRequest { Nonce = UnsafeByteOperations.UnsafeWrap(nonce) };
            var reply = await store.CallAsync(options => store._client.IntroduceAsync(request, options), limit, cancellationToken, isIntroduction: true);
            return authentication.VerifyServer(nonce, pin.Hash, reply.HmacSha256.Span)
                ? store
                : throw new RendezvousRefusedException(
                    $"What listens at {store._address} does not prove that it is the rendezvous store of this run; start every node with the same --rdzv-id and the same secret.");
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public override async Task SetAsync(string key, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        StoreLimits.CheckValue(key, value);
        var request = new SetRequest { Key = key, Value = UnsafeByteOperations.UnsafeWrap(value) };
        await CallAsync(options => _client.SetAsync(request, options), CallLimit, cancellationToken);
    }

    /// <inheritdoc/>
    public override async Task<byte[]?> GetChangedAsync(
        string key, ReadOnlyMemory<byte>? known, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        var request = new GetRequest { Key = key, TimeoutMilliseconds = StoreLimits.ToMilliseconds(timeout) };
        if (known is { } old)
        {
            StoreLimits.CheckValue(key, old);
            request.Known = UnsafeByteOperations.UnsafeWrap(old);
        }

        var reply = await CallAsync(options => _client.GetAsync(request, options), timeout + AnswerLimit, cancellationToken);
        return reply.Found ? reply.Value.ToByteArray() : null;
    }

    /// <inheritdoc/>
    public override async Task<long> AddAsync(string key, long delta, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        var request = new AddRequest { Key = key, Delta = delta };
        return (await CallAsync(options => _client.AddAsync(request, options), CallLimit, cancellationToken)).Sum;
    }

    /// <inheritdoc/>
    public override async Task<byte[]> CompareSetAsync(
        string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        StoreLimits.CheckValue(key, desired);
        var request = new CompareSetRequest
        {
            Key = key,
            Expected = UnsafeByteOperations.UnsafeWrap(expected),
            Desired = UnsafeByteOperations.UnsafeWrap(desired),
        };
        return (await CallAsync(options => _client.CompareSetAsync(request, options), CallLimit, cancellationToken)).Value.ToByteArray();
    }

    internal override async Task<IReadOnlyList<string>> WaitForAsync(
        IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken)
    {
        StoreLimits.CheckKeys(keys);
        var request = new WaitRequest { Keys = { keys }, TimeoutMilliseconds = StoreLimits.ToMilliseconds(timeout) };
        return (await CallAsync(options => _client.WaitAsync(request, options), timeout + AnswerLimit, cancellationToken)).MissingKeys;
    }

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        _channel.Dispose();
        return base.DisposeAsync();
    }

    private async Task<TReply> CallAsync<TReply>(
        Func<CallOptions, AsyncUnaryCall<TReply>> call, TimeSpan limit, CancellationToken cancellationToken, bool isIntroduction = false)
    {
        try
        {
            return await call(new CallOptions(isIntroduction ? null : _metadata, DateTime.UtcNow + limit, cancellationToken));
        }
        catch (RpcException exception) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException("The call to the rendezvous store was cancelled.", exception, cancellationToken);
        }
        catch (RpcException exception)
        {
            throw Translate(exception, limit);
        }
    }

    private RendezvousException Translate(RpcException exception, TimeSpan limit) => exception.StatusCode switch
    {
        StatusCode.FailedPrecondition => new RendezvousRefusedException(AbortCause.Bound(exception.Status.Detail)),
        StatusCode.Unauthenticated => new RendezvousConnectionException(
            $"The rendezvous store at {_address} does not accept this process: {AbortCause.Bound(exception.Status.Detail)}.", exception),
        StatusCode.Unavailable when exception.Status.DebugException is null => new RendezvousConnectionException(AbortCause.Bound(exception.Status.Detail), exception),
        StatusCode.DeadlineExceeded => new RendezvousConnectionException(
            $"The rendezvous store at {_address} did not answer within {limit.TotalSeconds:0.#} s; its launcher has to be running.", exception),
        _ => new RendezvousConnectionException(
            $"The rendezvous store at {_address} cannot be reached: {Reason(exception)}; its launcher has to be running.", exception),
    };

    private static string Reason(RpcException exception)
        => exception.Status.DebugException?.GetBaseException() is SocketException socket ? socket.Message : AbortCause.Bound(exception.Status.Detail);
}
