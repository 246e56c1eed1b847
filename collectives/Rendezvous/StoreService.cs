using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives;

/// <summary>Serves an <see cref="InMemoryStore"/> to the ranks of the job.</summary>
internal sealed class StoreService(InMemoryStore store, StoreAuthentication authentication) : Store.StoreBase
{
    public override Task<SetReply> Set(SetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            await store.SetAsync(request.Key, request.Value.Memory);
            return new SetReply();
        });

    public override Task<GetReply> Get(GetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var value = await store.TryGetAsync(request.Key, TimeSpan.FromMilliseconds(request.TimeoutMilliseconds), context.CancellationToken);
            return new GetReply { Found = value is not null, Value = UnsafeByteOperations.UnsafeWrap(value) };
        });

    public override Task<WaitReply> Wait(WaitRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var missing = await store.WaitForAsync(request.Keys, TimeSpan.FromMilliseconds(request.TimeoutMilliseconds), context.CancellationToken);
            return new WaitReply { MissingKeys = { missing } };
        });

    public override Task<AddReply> Add(AddRequest request, ServerCallContext context)
        => Answer(context, async () => new AddReply { Sum = await store.AddAsync(request.Key, request.Delta) });

    public override Task<CompareSetReply> CompareSet(CompareSetRequest request, ServerCallContext context)
        => Answer(context, async () =>
        {
            var value = await store.CompareSetAsync(request.Key, request.Expected.Memory, request.Desired.Memory);
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
    }
}
