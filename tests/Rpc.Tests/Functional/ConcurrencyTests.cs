using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Many calls at once.</summary>
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

    [Fact]
    public async Task Stream_LargeAndSlow_IsNotEndedByTheLimitsOfTheWebServer()
    {
        await using var host = await RpcHost.StartAsync(configure: kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = 1000;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 1e6, gracePeriod: TimeSpan.FromSeconds(1.01));
        });
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(900) } }).DefaultTimeout();
        await Task.Delay(TimeSpan.FromSeconds(2.5));
        await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(900) } }).DefaultTimeout();
        await call.RequestStream.CompleteAsync().DefaultTimeout();

        Assert.Equal(1800, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
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
}
