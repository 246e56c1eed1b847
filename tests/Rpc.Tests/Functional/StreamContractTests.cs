using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>What streams promise and what they refuse.</summary>
public sealed class StreamContractTests
{
    [Fact]
    public async Task RequestStream_AfterItsEnd_RefusesMessages()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        await call.RequestStream.CompleteAsync().DefaultTimeout();
        await call.RequestStream.CompleteAsync().DefaultTimeout();

        await Assert.ThrowsAsync<InvalidOperationException>(() => call.RequestStream.WriteAsync(new()).DefaultTimeout());
        Assert.Equal(0, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
    }

    [Fact]
    public async Task Stream_TwoReadsAtOnce_RefusesTheSecond()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();

        var first = call.ResponseStream.MoveNext();
        await Assert.ThrowsAsync<InvalidOperationException>(() => call.ResponseStream.MoveNext().DefaultTimeout());
        await call.RequestStream.CompleteAsync();

        Assert.False(await first.DefaultTimeout());
    }

    [Fact]
    public async Task Stream_TwoWritesAtOnce_RefusesTheSecond()
    {
        var service = new ScriptedService { Duplex = (_, _, context) => RpcAssert.WaitAsync(context.CancellationToken) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        var call = new TestService.TestServiceClient(channel).FullDuplexCall();

        // More than the windows of HTTP/2 hold and never read, so that the write stays in progress.
        var first = call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(10_000_000) } });
        await Assert.ThrowsAsync<InvalidOperationException>(() => call.RequestStream.WriteAsync(new()).DefaultTimeout());
        call.Dispose();

        await RpcAssert.FailsAsync(StatusCode.Cancelled, first);
    }

    [Fact]
    public async Task RequestStream_ServerHasAnswered_WriteFailsAndTheAnswerIsRead()
    {
        var service = new ScriptedService { Duplex = (_, _, _) => throw new RpcException(new Status(StatusCode.Aborted, "enough")) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();

        await RpcAssert.FailsAsync(StatusCode.Aborted, call.ResponseStream.MoveNext());
        var write = await RpcAssert.FailsAsync(StatusCode.Aborted, call.RequestStream.WriteAsync(new()));

        Assert.Equal("enough", write.Status.Detail);
    }

    [Fact]
    public async Task RequestStream_ServerStopsReading_ResponseOfTheCallIsRead()
    {
        var service = new ScriptedService
        {
            ClientStream = async (requests, _) =>
            {
                await requests.MoveNext();
                return new StreamingInputCallResponse { AggregatedPayloadSize = 42 };
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(10) } }).DefaultTimeout();

        Assert.Equal(42, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
        await Assert.ThrowsAsync<RpcException>(() => call.RequestStream.WriteAsync(new()).DefaultTimeout());
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Handler_WritesAfterItReturned_IsRefused()
    {
        IServerStreamWriter<StreamingOutputCallResponse>? kept = null;
        var service = new ScriptedService
        {
            ServerStream = (_, responses, _) =>
            {
                kept = responses;
                return Task.CompletedTask;
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingOutputCall(new());
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());

        await Assert.ThrowsAsync<InvalidOperationException>(() => kept!.WriteAsync(new()).DefaultTimeout());
    }

    [Fact]
    public async Task BufferHint_OnAWrite_SendsTheMessageWithTheNext()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        var request = new StreamingOutputCallRequest { ResponseParameters = { new ResponseParameters { Size = 3 } } };

        call.RequestStream.WriteOptions = new WriteOptions(WriteFlags.BufferHint);
        await call.RequestStream.WriteAsync(request).DefaultTimeout();
        call.RequestStream.WriteOptions = null;
        await call.RequestStream.WriteAsync(request).DefaultTimeout();

        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
    }
}
