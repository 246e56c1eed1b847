using System.Collections.Concurrent;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Many calls at once, well and badly behaved.</summary>
public sealed class ConcurrencyTests
{
    [Theory, CombineTransports]
    public async Task DuplexStreams_200AtOnce_EachGetsItsOwnMessages(Transport transport)
    {
        const int Streams = 200;
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var open = 0;
        var allOpen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        await Task.WhenAll(Enumerable.Range(1, Streams).Select(async number =>
        {
            using var call = client.FullDuplexCall();
            for (var round = 0; round < 5; round++)
            {
                await call.RequestStream.WriteAsync(new() { ResponseParameters = { new ResponseParameters { Size = number * 10 + round } } });
                Assert.True(await call.ResponseStream.MoveNext());
                Assert.Equal(number * 10 + round, call.ResponseStream.Current.Payload.Body.Length);
                if (round == 0 && Interlocked.Increment(ref open) == Streams)
                {
                    allOpen.SetResult();
                }

                await allOpen.Task; // no stream goes on, or ends, before all are open
            }

            await call.RequestStream.CompleteAsync();
            Assert.False(await call.ResponseStream.MoveNext());
        })).DefaultTimeout();
        Assert.Empty(host.Log.Errors);
    }

    [Theory, CombineTransports]
    public async Task BothSides_SendMegabytesAtOnce_NeitherWaitsForTheOther(Transport transport)
    {
        const int Messages = 20;
        const int Size = 1 << 20;
        var service = new ScriptedService
        {
            Duplex = async (requests, responses, _) =>
            {
                var reading = Task.Run(async () =>
                {
                    await foreach (var request in requests.ReadAllAsync())
                    {
                        Assert.Equal(Size, request.Payload.Body.Length);
                    }
                });
                for (var i = 0; i < Messages; i++)
                {
                    await responses.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(Size) } });
                }

                await reading;
            },
        };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        var writing = Task.Run(async () =>
        {
            for (var i = 0; i < Messages; i++)
            {
                await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(Size) } });
            }

            await call.RequestStream.CompleteAsync();
        });

        var received = 0;
        while (await call.ResponseStream.MoveNext().DefaultTimeout())
        {
            Assert.Equal(Size, call.ResponseStream.Current.Payload.Body.Length);
            received++;
        }

        await writing.DefaultTimeout();
        Assert.Equal(Messages, received);
    }

    [Theory, CombineTransports]
    public async Task Soak_RandomDeadlinesAndCancellations_OnlyRpcExceptionsAndNoErrors(Transport transport)
    {
        const int Seed = 20240607;
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var outcomes = new ConcurrentDictionary<StatusCode, int>();
        using var over = new CancellationTokenSource(TimeSpan.FromSeconds(1));

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
