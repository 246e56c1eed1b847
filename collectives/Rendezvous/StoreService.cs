using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives;

/// <summary>Serves a store to the processes of the job.</summary>
/// <param name="store">What it serves; the owner disposes it.</param>
/// <param name="authentication">Who may call.</param>
/// <param name="certificateHash">SHA-256 of the server's certificate; <see langword="null"/> where there is none.</param>
internal sealed class StoreService(RendezvousStore store, StoreAuthentication authentication, byte[]? certificateHash) : Store.StoreBase
{
    public override Task<IntroduceReply> Introduce(IntroduceRequest request, ServerCallContext context)
    {
        if (certificateHash is null || request.Nonce.Length != StoreAuthentication.NonceByteCount)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "an introduction belongs to a connection with TLS and has a nonce of 32 bytes"));
        }

        var proof = authentication.ProveServer(request.Nonce.Span, certificateHash);
        return Task.FromResult(new IntroduceReply { HmacSha256 = UnsafeByteOperations.UnsafeWrap(proof) });
    }

    public override Task<SetReply> Set(SetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            await store.SetAsync(request.Key, request.Value.Memory, context.CancellationToken);
            return new SetReply();
        });

    public override Task<GetReply> Get(GetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var value = await store.GetChangedAsync(
                request.Key,
                request.HasKnown ? request.Known.Memory : default(ReadOnlyMemory<byte>?),
                TimeSpan.FromMilliseconds(request.TimeoutMilliseconds),
                context.CancellationToken);
            return new GetReply { Found = value is not null, Value = UnsafeByteOperations.UnsafeWrap(value ?? []) };
        });

    public override Task<WaitReply> Wait(WaitRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var missing = await store.WaitForAsync(request.Keys, TimeSpan.FromMilliseconds(request.TimeoutMilliseconds), context.CancellationToken);
            return new WaitReply { MissingKeys = { missing } };
        });

    public override Task<AddReply> Add(AddRequest request, ServerCallContext context)
        => Answer(context, async () => new AddReply { Sum = await store.AddAsync(request.Key, request.Delta, context.CancellationToken) });

    public override Task<CompareSetReply> CompareSet(CompareSetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var value = await store.CompareSetAsync(request.Key, request.Expected.Memory, request.Desired.Memory, context.CancellationToken);
            return new CompareSetReply { Value = UnsafeByteOperations.UnsafeWrap(value) };
        });

    private async Task<TReply> Answer<TReply>(ServerCallContext context, Func<Task<TReply>> answer)
    {
        authentication.Check(context);
        try
        {
            return await answer();
        }
        catch (RendezvousRefusedException refusal)
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, refusal.Message));
        }
        catch (RendezvousException failure)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, failure.Message)); // of the store behind this one
        }
    }
}
