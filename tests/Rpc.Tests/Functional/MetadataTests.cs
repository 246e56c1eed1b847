using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Headers and trailers.</summary>
public sealed class MetadataTests
{
    [Theory, CombineTransports]
    public async Task Metadata_InAllPlaces_Arrives(Transport transport)
    {
        Metadata? received = null;
        var service = new ScriptedService
        {
            ServerStream = async (_, responses, context) =>
            {
                received = context.RequestHeaders;
                await context.WriteResponseHeadersAsync([new("first", "1"), new("first-bin", [1, 2])]);
                await responses.WriteAsync(new());
                context.ResponseTrailers.Add("last-bin", [7]);
                context.ResponseTrailers.Add("last", "text, with comma");
            },
        };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        byte[] everyByte = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];
        var headers = new Metadata { { "Plain", "v: 1" }, { "every-bin", everyByte }, { "empty-bin", [] } };
        using var call = new TestService.TestServiceClient(channel).StreamingOutputCall(new(), headers);

        var first = await call.ResponseHeadersAsync.DefaultTimeout();
        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());

        Assert.Equal("v: 1", received!.GetValue("plain"));
        Assert.Equal<byte[]?>(everyByte, received.GetValueBytes("every-bin"));
        Assert.Equal<byte[]?>([], received.GetValueBytes("empty-bin"));
        Assert.Null(received.Get("grpc-accept-encoding"));
        Assert.Null(received.Get("content-type"));
        Assert.Equal("1", first.GetValue("first"));
        Assert.Equal<byte[]?>([1, 2], first.GetValueBytes("first-bin"));
        Assert.Equal("text, with comma", call.GetTrailers().GetValue("last"));
        Assert.Equal<byte[]?>([7], call.GetTrailers().GetValueBytes("last-bin"));
        Assert.Null(call.GetTrailers().Get("grpc-status"));
    }

    [Fact]
    public async Task ResponseHeaders_SentTwice_Throws()
    {
        Exception? second = null;
        var service = new ScriptedService
        {
            Unary = async (_, context) =>
            {
                await context.WriteResponseHeadersAsync([]);
                second = await Record.ExceptionAsync(() => context.WriteResponseHeadersAsync([]));
                return new SimpleResponse();
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();

        await new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.IsType<InvalidOperationException>(second);
    }

    [Fact]
    public async Task Headers_BeforeTheFirstRequestMessage_AreSentByBothSides()
    {
        var service = new ScriptedService
        {
            Duplex = async (requests, _, context) =>
            {
                await context.WriteResponseHeadersAsync([new("ready", "yes")]);
                await requests.MoveNext();
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        await RpcAssert.FailsAsync(StatusCode.Unimplemented, client.EmptyCallAsync(new()).ResponseAsync);
        await Task.Delay(100); // the traffic of a new connection ends, which would take along what was not flushed
        using var call = client.FullDuplexCall();

        Assert.Equal("yes", (await call.ResponseHeadersAsync.DefaultTimeout()).GetValue("ready"));

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
    }

    [Fact]
    public async Task Context_OfACall_NamesMethodHostAndConnection()
    {
        var seen = new List<string>();
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                seen.AddRange([context.Method, context.Host, context.Peer, context.GetHttpContext().Request.Protocol]);
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();

        await new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.Equal("/grpc.testing.TestService/UnaryCall", seen[0]);
        Assert.Equal(host.Address.Uri.Authority, seen[1]);
        Assert.StartsWith("ipv4:127.0.0.1:", seen[2], StringComparison.Ordinal);
        Assert.Equal("HTTP/2", seen[3]);
        Assert.Equal(host.Address.Uri.Authority, channel.Target);
    }
}
