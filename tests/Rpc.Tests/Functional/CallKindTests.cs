using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>The four kinds of calls on every transport.</summary>
public sealed class CallKindTests
{
    [Theory, CombineTransports]
    public async Task UnaryCall_Payloads_ArriveWhole(Transport transport)
    {
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var request = new SimpleRequest { ResponseSize = 314_159, Payload = new Payload { Body = ByteString.CopyFrom(new byte[271_828]) } };

        using var call = client.UnaryCallAsync(request);
        var response = await call.ResponseAsync.DefaultTimeout();

        Assert.Equal(314_159, response.Payload.Body.Length);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.Equal(314_159, client.UnaryCall(request).Payload.Body.Length);
    }

    [Theory, CombineTransports]
    public async Task ClientStreaming_Requests_AreAllRead(Transport transport)
    {
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        foreach (var size in (int[])[27_182, 8, 1_828, 45_904])
        {
            await call.RequestStream.WriteAsync(new() { Payload = new() { Body = ByteString.CopyFrom(new byte[size]) } }).DefaultTimeout();
        }

        await call.RequestStream.CompleteAsync().DefaultTimeout();

        Assert.Equal(74_922, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
    }

    [Theory, CombineTransports]
    public async Task ServerStreaming_Responses_ArriveInOrder(Transport transport)
    {
        int[] sizes = [31_415, 9, 2_653, 58_979];
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        var request = new StreamingOutputCallRequest();
        request.ResponseParameters.AddRange(sizes.Select(size => new ResponseParameters { Size = size }));
        using var call = new TestService.TestServiceClient(channel).StreamingOutputCall(request);

        var received = new List<int>();
        await foreach (var response in call.ResponseStream.ReadAllAsync())
        {
            received.Add(response.Payload.Body.Length);
        }

        Assert.Equal(sizes, received);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Theory, CombineTransports]
    public async Task DuplexStreaming_RequestsAndResponses_Alternate(Transport transport)
    {
        await using var host = await RpcHost.StartAsync(transport);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();

        foreach (var size in (int[])[0, 1, 16_379, 16_380, 3_000_000])
        {
            await call.RequestStream.WriteAsync(new()
            {
                ResponseParameters = { new ResponseParameters { Size = size } },
                Payload = new() { Body = ByteString.CopyFrom(new byte[size]) },
            }).DefaultTimeout();
            Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
            Assert.Equal(size, call.ResponseStream.Current.Payload.Body.Length);
        }

        await call.RequestStream.CompleteAsync().DefaultTimeout();
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.Empty(host.Log.Errors);
    }
}
