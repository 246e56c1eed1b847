using System.Diagnostics;
using System.Globalization;
using System.Text;
using Distributed.Protos.Etcd;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives;

/// <summary>
/// A store in an etcd cluster (API v3): conditions and changes in one transaction, waits by watching, and one lease for all keys of the run,
/// which go when the last of its processes has. It does not end with any one node.
/// </summary>
public sealed class EtcdStore : RendezvousStore
{
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(10);

    private readonly GrpcChannel _channel;
    private readonly KV.KVClient _keys;
    private readonly Watch.WatchClient _watches;
    private readonly EtcdLease _lease;
    private readonly string _prefix;

    private EtcdStore(GrpcChannel channel, string prefix, TimeSpan lifetime)
    {
        _channel = channel;
        _prefix = prefix;
        _keys = new KV.KVClient(channel);
        _watches = new Watch.WatchClient(channel);
        _lease = new EtcdLease(new Lease.LeaseClient(channel), prefix, lifetime);
    }

    /// <summary>Connects, and takes the run's lease out or joins it.</summary>
    /// <param name="options">Where etcd is.</param>
    /// <param name="runId">The run: its keys begin with /distrun/ and this.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">etcd cannot be reached, or refuses.</exception>
    public static async Task<EtcdStore> ConnectAsync(EtcdOptions options, string runId, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var store = new EtcdStore(EtcdChannel.Open(options), $"/distrun/{runId}/", options.Lifetime);
        try
        {
            await store.CallAsync(async call => { await store._lease.TakeAsync(call); return true; }, cancellationToken);
            return store;
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
        await CallAsync(async call => await _keys.PutAsync(Put(key, value), call), cancellationToken);
    }

    /// <inheritdoc/>
    public override async Task<byte[]?> GetChangedAsync(
        string key, ReadOnlyMemory<byte>? known, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        var limit = TimeSpan.FromMilliseconds(StoreLimits.ToMilliseconds(timeout));
        var started = Stopwatch.GetTimestamp();
        var found = await CallAsync(async call => await _keys.RangeAsync(new RangeRequest { Key = KeyOf(key) }, call), cancellationToken);
        if (found.Kvs.Count > 0 && IsNew(found.Kvs[0].Value, known))
        {
            return found.Kvs[0].Value.ToByteArray();
        }

        var left = limit - Stopwatch.GetElapsedTime(started);
        return left > TimeSpan.Zero ? await WatchAsync(key, known, found.Header.Revision + 1, left, cancellationToken) : null;
    }

    /// <inheritdoc/>
    public override async Task<long> AddAsync(string key, long delta, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        while (true)
        {
            var found = await CallAsync(async call => await _keys.RangeAsync(new RangeRequest { Key = KeyOf(key) }, call), cancellationToken);
            var present = found.Kvs.Count > 0 ? found.Kvs[0] : null;
            var sum = Sum(key, present?.Value, delta);
            var condition = new Compare { Target = Compare.Types.CompareTarget.Mod, Key = KeyOf(key), ModRevision = present?.ModRevision ?? 0 };
            var digits = Encoding.ASCII.GetBytes(sum.ToString(CultureInfo.InvariantCulture));
            if ((await TransactAsync(condition, Put(key, digits), cancellationToken)).Succeeded)
            {
                return sum;
            }
        }
    }

    /// <inheritdoc/>
    public override async Task<byte[]> CompareSetAsync(
        string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired, CancellationToken cancellationToken = default)
    {
        StoreLimits.CheckKey(key);
        StoreLimits.CheckValue(key, desired);
        var condition = expected.IsEmpty
            ? new Compare { Target = Compare.Types.CompareTarget.Create, Key = KeyOf(key), CreateRevision = 0 }
            : new Compare { Target = Compare.Types.CompareTarget.Value, Key = KeyOf(key), Value = UnsafeByteOperations.UnsafeWrap(expected) };
        var reply = await TransactAsync(condition, Put(key, desired), cancellationToken);
        if (reply.Succeeded)
        {
            return desired.ToArray();
        }

        var present = reply.Responses[0].ResponseRange.Kvs;
        return present.Count > 0 ? present[0].Value.ToByteArray() : [];
    }

    /// <summary>Removes all keys of the run. For the last process of it.</summary>
    /// <exception cref="RendezvousConnectionException">etcd cannot be reached, or refuses.</exception>
    public Task EraseAsync(CancellationToken cancellationToken = default)
        => CallAsync(async call => { await _lease.RevokeAsync(call); return true; }, cancellationToken);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await _lease.DisposeAsync();
        _channel.Dispose();
        await base.DisposeAsync();
    }

    internal override async Task<IReadOnlyList<string>> WaitForAsync(
        IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken)
    {
        StoreLimits.CheckKeys(keys);
        var found = await Task.WhenAll(keys.Select(key => GetChangedAsync(key, known: null, timeout, cancellationToken)));
        return [.. keys.Where((_, index) => found[index] is null).Distinct()];
    }

    private async Task<byte[]?> WatchAsync(
        string key, ReadOnlyMemory<byte>? known, long revision, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        ending.CancelAfter(limit);
        try
        {
            using var call = _watches.Watch(cancellationToken: ending.Token);
            var create = new WatchCreateRequest { Key = KeyOf(key), StartRevision = revision };
            await call.RequestStream.WriteAsync(new WatchRequest { CreateRequest = create }, ending.Token);
            while (await call.ResponseStream.MoveNext(ending.Token))
            {
                var news = call.ResponseStream.Current.Events
                    .LastOrDefault(change => change.Type == Event.Types.EventType.Put && IsNew(change.Kv.Value, known));
                if (news is not null)
                {
                    return news.Kv.Value.ToByteArray();
                }
            }

            throw new RendezvousConnectionException("etcd has ended a watch.");
        }
        catch (Exception exception) when (exception is RpcException or OperationCanceledException && ending.IsCancellationRequested)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return null;
        }
        catch (RpcException exception)
        {
            throw Translate(exception);
        }
    }

    private Task<TxnResponse> TransactAsync(Compare condition, PutRequest change, CancellationToken cancellationToken)
    {
        var request = new TxnRequest
        {
            Compare = { condition },
            Success = { new RequestOp { RequestPut = change } },
            Failure = { new RequestOp { RequestRange = new RangeRequest { Key = condition.Key } } },
        };
        return CallAsync(async call => await _keys.TxnAsync(request, call), cancellationToken);
    }

    private PutRequest Put(string key, ReadOnlyMemory<byte> value)
        => new() { Key = KeyOf(key), Value = UnsafeByteOperations.UnsafeWrap(value), Lease = _lease.Id };

    private ByteString KeyOf(string key) => ByteString.CopyFromUtf8(_prefix + key);

    private static bool IsNew(ByteString value, ReadOnlyMemory<byte>? known) => !(known is { } old && value.Span.SequenceEqual(old.Span));

    private static long Sum(string key, ByteString? digits, long delta)
        => digits is null ? delta
            : long.TryParse(digits.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
                && Int128.Abs((Int128)number + delta) <= long.MaxValue ? number + delta
            : throw new RendezvousRefusedException($"The value under {AbortCause.Bound(key)} is not a number that {delta} can be added to.");

    private async Task<T> CallAsync<T>(Func<CallOptions, Task<T>> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call(new CallOptions(deadline: DateTime.UtcNow + CallLimit, cancellationToken: cancellationToken));
        }
        catch (RpcException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw Translate(exception);
        }
    }

    private RendezvousConnectionException Translate(RpcException exception)
    {
        var reason = exception.Status.DebugException?.GetBaseException().Message ?? exception.Status.Detail;
        return new RendezvousConnectionException($"etcd at {_channel.Target} cannot be used: {AbortCause.Bound(reason).TrimEnd('.')}.", exception);
    }
}
