using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Distributed.Protos.Etcd;
using Grpc.Core;

namespace Distributed.Collectives;

/// <summary>
/// The lease that all keys of a run hang on: every process of the run keeps it alive, and when the last is gone etcd removes the keys. Its
/// id follows from the run's name, so that all mean the same.
/// </summary>
/// <param name="client">Of etcd.</param>
/// <param name="prefix">Of the run's keys.</param>
/// <param name="lifetime">How long the keys stay when nobody keeps them.</param>
internal sealed class EtcdLease(Lease.LeaseClient client, string prefix, TimeSpan lifetime) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private Task _keeping = Task.CompletedTask;

    /// <summary>The lease, for what is put.</summary>
    public long Id { get; } = BinaryPrimitives.ReadInt64LittleEndian(SHA256.HashData(Encoding.UTF8.GetBytes(prefix))) & long.MaxValue;

    /// <summary>Takes the lease out, or joins those who have.</summary>
    /// <exception cref="RpcException">etcd cannot be reached, or refuses.</exception>
    public async Task TakeAsync(CallOptions options)
    {
        try
        {
            await client.LeaseGrantAsync(new LeaseGrantRequest { ID = Id, TTL = (long)lifetime.TotalSeconds }, options);
        }
        catch (RpcException exception) when (exception.StatusCode == StatusCode.FailedPrecondition)
        {
            // "lease already exists": another process of the run was first.
            await KeepAliveOnceAsync(options);
        }

        _keeping = Task.Run(KeepAliveAsync);
    }

    /// <summary>Gives the lease back, and with it all keys of the run.</summary>
    public async Task RevokeAsync(CallOptions options) => await client.LeaseRevokeAsync(new LeaseRevokeRequest { ID = Id }, options);

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Dispose();
    }

    private async Task KeepAliveAsync()
    {
        var interval = lifetime / 4;
        while (true)
        {
            await Task.Delay(interval, _stopping.Token);
            try
            {
                await KeepAliveOnceAsync(new CallOptions(deadline: DateTime.UtcNow + interval, cancellationToken: _stopping.Token));
            }
            catch (RpcException)
            {
                // Three more attempts before the lease ends; whoever uses the store will say what is wrong with it.
            }
        }
    }

    private async Task KeepAliveOnceAsync(CallOptions options)
    {
        using var call = client.LeaseKeepAlive(options);
        await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = Id });
        await call.ResponseStream.MoveNext(CancellationToken.None);
        await call.RequestStream.CompleteAsync();
    }
}
