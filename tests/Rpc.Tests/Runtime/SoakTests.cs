using System.Collections.Concurrent;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>Many badly behaved calls at once.</summary>
public sealed class SoakTests
{
    [Theory, CombineTransports]
    public async Task Soak_RandomDeadlinesAndCancellations_OnlyRpcExceptionsAndNoErrors(Transport transport)
    {
        const int Seed = 20240607;
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var outcomes = new ConcurrentDictionary<StatusCode, int>();
        using var over = new CancellationTokenSource(TimeSpan.FromSeconds(0.5));

        await Task.WhenAll(Enumerable.Range(0, 32).Select(worker => Task.Run(async () =>
        {
            var random = new Random(Seed + worker);
            while (!over.IsCancellationRequested)
            {
                outcomes.AddOrUpdate(await RandomCallAsync(client, random), 1, (_, count) => count + 1);
            }
        }))).DefaultTimeout();

        // No call may end in another way; and those that ended well show that the connection survived the others.
        Assert.Empty(outcomes.Keys.Except([StatusCode.OK, StatusCode.Cancelled, StatusCode.DeadlineExceeded]));
        Assert.Equal(3, outcomes.Count);
        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();
        Assert.Empty(host.Log.Errors);
    }

    private static async Task<StatusCode> RandomCallAsync(TestService.TestServiceClient client, Random random)
    {
        using var cancellation = random.Next(2) == 0 ? new CancellationTokenSource(random.Next(20)) : new CancellationTokenSource();
        DateTime? deadline = random.Next(2) == 0 ? DateTime.UtcNow.AddMilliseconds(random.Next(1, 20)) : null;
        using var call = client.FullDuplexCall(deadline: deadline, cancellationToken: cancellation.Token);
        try
        {
            for (var round = random.Next(4); round >= 0; round--)
            {
                var parameters = new ResponseParameters { Size = random.Next(20_000), IntervalUs = random.Next(2) * random.Next(10_000) };
                await call.RequestStream.WriteAsync(new() { ResponseParameters = { parameters }, Payload = new() { Body = RpcAssert.Zeros(parameters.Size) } });
                Assert.True(await call.ResponseStream.MoveNext());
            }

            await call.RequestStream.CompleteAsync();
            Assert.False(await call.ResponseStream.MoveNext());
            return call.GetStatus().StatusCode;
        }
        catch (RpcException failure)
        {
            return failure.StatusCode;
        }
    }
}
