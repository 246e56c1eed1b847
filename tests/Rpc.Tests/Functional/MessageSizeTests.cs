using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Limits on the size of messages, on both sides and in both directions.</summary>
public sealed class MessageSizeTests
{
    private const int Limit = 100_000;

    [Fact]
    public async Task Response_OverTheClientsLimit_IsResourceExhausted()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel(options => options.MaxReceiveMessageSize = Limit);
        var client = new TestService.TestServiceClient(channel);
        var fitting = new SimpleRequest { ResponseSize = Limit - Overhead(new SimpleResponse { Payload = new() { Body = RpcAssert.Zeros(Limit) } }) };

        await client.UnaryCallAsync(fitting).ResponseAsync.DefaultTimeout();
        fitting.ResponseSize++;
        await RpcAssert.FailsAsync(StatusCode.ResourceExhausted, client.UnaryCallAsync(fitting).ResponseAsync);
    }

    [Fact]
    public async Task Request_OverTheServersLimit_IsResourceExhausted()
    {
        await using var host = await RpcHost.StartAsync(options: options => options.MaxReceiveMessageSize = Limit);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var request = new SimpleRequest { Payload = new() { Body = RpcAssert.Zeros(Limit) } };
        request.Payload.Body = RpcAssert.Zeros(Limit - Overhead(request));

        await client.UnaryCallAsync(request).ResponseAsync.DefaultTimeout();
        request.Payload.Body = RpcAssert.Zeros(request.Payload.Body.Length + 1);
        await RpcAssert.FailsAsync(StatusCode.ResourceExhausted, client.UnaryCallAsync(request).ResponseAsync);
    }

    [Fact]
    public async Task Request_OverTheClientsOwnLimit_IsNotSent()
    {
        var received = 0;
        var service = new ScriptedService
        {
            Unary = (_, _) =>
            {
                received++;
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel(options => options.MaxSendMessageSize = Limit);
        var client = new TestService.TestServiceClient(channel);

        await RpcAssert.FailsAsync(
            StatusCode.ResourceExhausted,
            client.UnaryCallAsync(new SimpleRequest { Payload = new() { Body = RpcAssert.Zeros(Limit) } }).ResponseAsync);

        Assert.Equal(0, received);
    }

    [Fact]
    public async Task Response_OverTheServersOwnLimit_IsResourceExhausted()
    {
        await using var host = await RpcHost.StartAsync(options: options => options.MaxSendMessageSize = Limit);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        await RpcAssert.FailsAsync(StatusCode.ResourceExhausted, client.UnaryCallAsync(new() { ResponseSize = Limit }).ResponseAsync);
        await client.UnaryCallAsync(new() { ResponseSize = Limit / 2 }).ResponseAsync.DefaultTimeout();
    }

    [Fact]
    public async Task Receive_WithoutSettings_IsLimitedTo4MiB()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        await RpcAssert.FailsAsync(StatusCode.ResourceExhausted, client.UnaryCallAsync(new() { ResponseSize = 4 << 20 }).ResponseAsync);
        await RpcAssert.FailsAsync(
            StatusCode.ResourceExhausted,
            client.UnaryCallAsync(new() { Payload = new() { Body = RpcAssert.Zeros(4 << 20) } }).ResponseAsync);
    }

    [Fact]
    public async Task Receive_WithoutALimit_TakesLargeMessages()
    {
        await using var host = await RpcHost.StartAsync(options: options => options.MaxReceiveMessageSize = null);
        using var channel = host.CreateChannel(options => options.MaxReceiveMessageSize = null);
        var request = new SimpleRequest { ResponseSize = 20_000_000, Payload = new() { Body = RpcAssert.Zeros(20_000_000) } };

        var response = await new TestService.TestServiceClient(channel).UnaryCallAsync(request).ResponseAsync.DefaultTimeout();

        Assert.Equal(20_000_000, response.Payload.Body.Length);
    }

    /// <summary>The bytes of a message beside its payload's.</summary>
    private static int Overhead(IMessage message) => message.CalculateSize() - Limit;
}
