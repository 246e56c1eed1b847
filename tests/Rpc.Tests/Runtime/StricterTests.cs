using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>Where this runtime says more, or promises more, than the official packages.</summary>
public sealed class StricterTests
{
    [Theory, CombineTransports]
    public async Task Failure_OfAnyCall_NamesMethodAndAddress(Transport transport)
    {
        var service = new ScriptedService { Unary = (_, _) => throw new RpcException(new Status(StatusCode.NotFound, "no such key")) };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();

        var failure = await RpcAssert.FailsAsync(StatusCode.NotFound, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);

        Assert.Equal("no such key", failure.Status.Detail);
        Assert.Contains("no such key", failure.Message, StringComparison.Ordinal);
        Assert.Contains($"/grpc.testing.TestService/UnaryCall at {host.Address.Uri.GetLeftPart(UriPartial.Authority)}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metadata_BinaryKeyTwice_ArrivesTwice()
    {
        byte[][] values = [[1], [], [2, 3]];
        IEnumerable<byte[]> received = [];
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                received = [.. context.RequestHeaders.GetAll("k-bin").Select(entry => entry.ValueBytes)];
                foreach (var value in received)
                {
                    context.ResponseTrailers.Add("k-bin", value);
                }

                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        var headers = new Metadata();
        foreach (var value in values)
        {
            headers.Add("k-bin", value);
        }

        using var call = new TestService.TestServiceClient(channel).UnaryCallAsync(new(), headers);
        await call.ResponseAsync.DefaultTimeout();

        Assert.Equal(values, received);
        Assert.Equal(values, call.GetTrailers().GetAll("k-bin").Select(entry => entry.ValueBytes));
    }

    [Fact]
    public async Task Metadata_ThatCannotBeSent_FailsTheCall()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        var failure = await RpcAssert.FailsAsync(
            StatusCode.Internal, client.EmptyCallAsync(new(), new Metadata { { "x", "line\r\nbreak: 1" } }).ResponseAsync);

        Assert.Contains("'x'", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Peer_OnAUnixSocket_SaysSo()
    {
        string? peer = null;
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                peer = context.Peer;
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(Transport.UnixSocket, service.Map);
        using var channel = host.CreateChannel();

        await new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.Equal("unix:", peer);
    }

    [Fact]
    public async Task Handler_ReturnsNull_IsUnknownAndLoggedWithTheMethodAndPeer()
    {
        var service = new ScriptedService { Unary = (_, _) => Task.FromResult<SimpleResponse>(null!) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();

        await RpcAssert.FailsAsync(StatusCode.Unknown, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);

        var error = Assert.Single(host.Log.Errors);
        Assert.Contains("/grpc.testing.TestService/UnaryCall", error, StringComparison.Ordinal);
        Assert.Contains("ipv4:127.0.0.1:", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Deadline_InLocalTime_IsRefused()
    {
        using var channel = Grpc.Net.Client.GrpcChannel.ForAddress("http://127.0.0.1:1");
        var client = new TestService.TestServiceClient(channel);

        Assert.Throws<ArgumentException>(() => client.EmptyCallAsync(new(), deadline: DateTime.Now.AddMinutes(1)));
    }

    [Fact]
    public async Task Stream_MessageOverTheLimit_FailsTheWriteAndNotTheCall()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel(options => options.MaxSendMessageSize = 1000);
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        await RpcAssert.FailsAsync(
            StatusCode.ResourceExhausted, call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(2000) } }));
        await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(500) } }).DefaultTimeout();
        await call.RequestStream.CompleteAsync();

        Assert.Equal(500, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
    }

    [Theory, CombineTransports]
    public async Task RequestStream_ServerRefusesTheCall_EveryWriteReportsTheRefusal(Transport transport)
    {
        var service = new ScriptedService { ClientStream = (_, _) => throw new RpcException(new Status(StatusCode.Unauthenticated, "who?")) };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        for (var attempt = 0; attempt < 20; attempt++)
        {
            using var call = client.StreamingInputCall();
            var failure = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                while (true)
                {
                    await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(10_000) } }).DefaultTimeout();
                }
            });
            Assert.Equal(StatusCode.Unauthenticated, failure.StatusCode);
        }
    }

    [Fact]
    public async Task Response_NobodyAwaits_LeavesNoUnobservedException()
    {
        await using var host = await RpcHost.StartAsync();
        var ours = 0;
        EventHandler<UnobservedTaskExceptionEventArgs> count = (_, unobserved) =>
            ours += unobserved.Exception.ToString().Contains(host.Address.Uri.Authority, StringComparison.Ordinal) ? 1 : 0;
        TaskScheduler.UnobservedTaskException += count;
        try
        {
            using (var channel = host.CreateChannel())
            {
                Abandon(new TestService.TestServiceClient(channel));
            }

            await Task.Delay(100);
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= count;
        }

        Assert.Equal(0, ours);

        static void Abandon(TestService.TestServiceClient client)
        {
            client.UnimplementedCallAsync(new()).Dispose();
            client.StreamingInputCall().Dispose();
            client.FullDuplexCall().Dispose();
            _ = client.UnimplementedCallAsync(new());
        }
    }

    [Fact]
    public async Task Handler_LeavesAReadBehind_NextCallsOfTheConnectionWork()
    {
        Task<bool>? forgotten = null;
        var endedWithTheCall = true;
        var service = new ScriptedService
        {
            Duplex = (requests, _, _) =>
            {
                forgotten = requests.MoveNext();
                return Task.CompletedTask;
            },
            Unary = (request, _) => Task.FromResult(new SimpleResponse { Payload = request.Payload }),
        };
        await using var host = await RpcHost.StartAsync(map: app =>
        {
            app.Use(async (_, next) =>
            {
                await next();

                // From here on the web server uses the body for another request. The read's task learns of its end a moment after the reader.
                endedWithTheCall &= SpinWait.SpinUntil(() => forgotten?.IsCompleted != false, TimeSpan.FromSeconds(1));
            });
            service.Map(app);
        });
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        for (var i = 0; i < 20; i++)
        {
            using var call = client.FullDuplexCall();
            Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
            await Record.ExceptionAsync(() => forgotten!).AsTask().DefaultTimeout();
            var echo = await client.UnaryCallAsync(new() { Payload = new() { Type = i } }).ResponseAsync.DefaultTimeout();
            Assert.Equal(i, echo.Payload.Type);
        }

        Assert.True(endedWithTheCall);
    }

    [Fact]
    public void Map_TypeThatIsNoService_Throws()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddGrpc();
        var app = builder.Build();

        Assert.Throws<InvalidOperationException>(() => app.MapGrpcService<StricterTests>());
    }
}
