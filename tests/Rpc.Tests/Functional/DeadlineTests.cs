using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Deadlines end calls on both sides.</summary>
public sealed class DeadlineTests
{
    [Theory, CombineTransports]
    public async Task Deadline_Passes_FailsTheCallAndCancelsTheHandler(Transport transport)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            Unary = async (_, context) =>
            {
                await RpcAssert.WaitAsync(context.CancellationToken);
                cancelled.TrySetResult();
                return new SimpleResponse();
            },
        };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        await RpcAssert.FailsAsync(StatusCode.Unimplemented, client.EmptyCallAsync(new()).ResponseAsync); // connects
        using var call = client.UnaryCallAsync(new(), deadline: DateTime.UtcNow.AddMilliseconds(500));

        await RpcAssert.FailsAsync(StatusCode.DeadlineExceeded, call.ResponseAsync);
        // Either side may be first: the server's answer has headers, this side's timer leaves none.
        var headers = await Record.ExceptionAsync(() => call.ResponseHeadersAsync.DefaultTimeout());
        Assert.True(headers is null or RpcException { StatusCode: StatusCode.DeadlineExceeded }, headers?.ToString());
        await cancelled.Task.DefaultTimeout();
        Assert.Equal(StatusCode.DeadlineExceeded, call.GetStatus().StatusCode);
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Deadline_OfTheClient_IsWhatTheHandlerSees()
    {
        var seen = new List<DateTime>();
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                seen.Add(context.Deadline);
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        var deadline = DateTime.UtcNow.AddMinutes(7);

        await client.UnaryCallAsync(new(), deadline: deadline).ResponseAsync.DefaultTimeout();
        await client.UnaryCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.InRange(seen[0], deadline.AddSeconds(-5), deadline.AddSeconds(5));
        Assert.Equal(DateTime.MaxValue, seen[1]);
    }

    [Fact]
    public async Task Deadline_HasPassedBefore_NothingIsSent()
    {
        var calls = 0;
        var service = new ScriptedService
        {
            Unary = (_, _) =>
            {
                calls++;
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        await RpcAssert.FailsAsync(
            StatusCode.DeadlineExceeded, client.UnaryCallAsync(new(), deadline: DateTime.UtcNow.AddSeconds(-1)).ResponseAsync);
        await client.UnaryCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task Deadline_PassesWhileStreaming_FailsReadsAndWrites()
    {
        var service = new ScriptedService { Duplex = (_, _, context) => RpcAssert.WaitAsync(context.CancellationToken) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall(deadline: DateTime.UtcNow.AddMilliseconds(200));

        await RpcAssert.FailsAsync(StatusCode.DeadlineExceeded, call.ResponseStream.MoveNext());
        await RpcAssert.FailsAsync(StatusCode.DeadlineExceeded, call.RequestStream.WriteAsync(new()));
    }

    [Fact]
    public async Task Deadline_BlockedByASlowReader_FailsTheWrite()
    {
        var service = new ScriptedService { Duplex = (_, _, context) => RpcAssert.WaitAsync(context.CancellationToken) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall(deadline: DateTime.UtcNow.AddMilliseconds(300));
        var large = new StreamingOutputCallRequest { Payload = new() { Body = RpcAssert.Zeros(1_000_000) } };

        await RpcAssert.FailsAsync(StatusCode.DeadlineExceeded, Task.Run(async () =>
        {
            while (true)
            {
                await call.RequestStream.WriteAsync(large); // until the windows of HTTP/2 are full
            }
        }));
    }
}
