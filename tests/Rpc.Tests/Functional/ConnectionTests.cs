using System.Net.Sockets;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Servers that are not there, or not for long.</summary>
public sealed class ConnectionTests
{
    [Theory, CombineTransports]
    public async Task Server_GoesAwayInTheMiddle_FailsTheCall(Transport transport)
    {
        var service = new ScriptedService
        {
            Duplex = async (_, responses, context) =>
            {
                await responses.WriteAsync(new());
                await RpcAssert.WaitAsync(context.CancellationToken);
            },
        };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        using var call = client.FullDuplexCall();
        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());

        await host.StopAtOnceAsync().DefaultTimeout();

        await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext().DefaultTimeout());
        await RpcAssert.FailsAsync(StatusCode.Unavailable, client.UnaryCallAsync(new()).ResponseAsync);
    }

    [Fact]
    public async Task Client_GoesAwayInTheMiddle_CancelsTheHandler()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            ClientStream = async (requests, context) =>
            {
                started.TrySetResult();
                ended.TrySetResult(await Record.ExceptionAsync(() => requests.MoveNext()));
                await RpcAssert.WaitAsync(context.CancellationToken);
                return new StreamingInputCallResponse();
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        Socket? connection = null;
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancellationToken) =>
            {
                connection = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await connection.ConnectAsync(context.DnsEndPoint, cancellationToken);
                return new NetworkStream(connection, ownsSocket: true);
            },
        };
        using var channel = GrpcChannel.ForAddress(host.Address.Uri, new GrpcChannelOptions { HttpHandler = handler });
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();
        await started.Task.DefaultTimeout();

        connection!.Dispose();

        Assert.NotNull(await ended.Task.DefaultTimeout());
        await RpcAssert.FailsAsync(StatusCode.Unavailable, call.ResponseAsync);
        Assert.Empty(host.Log.Errors);
    }

    [Theory]
    [InlineData("ftp://host")]
    [InlineData("host:80")]
    [InlineData("/path")]
    public void Channel_ToAnotherKindOfAddress_Throws(string address)
        => Assert.ThrowsAny<Exception>(() => GrpcChannel.ForAddress(address));

    [Fact]
    public void Channel_CredentialsAgainstTheScheme_Throws()
    {
        Assert.ThrowsAny<Exception>(() => GrpcChannel.ForAddress("http://h", new GrpcChannelOptions { Credentials = ChannelCredentials.SecureSsl }));
        Assert.ThrowsAny<Exception>(() => GrpcChannel.ForAddress("https://h", new GrpcChannelOptions { Credentials = ChannelCredentials.Insecure }));
        using var agreeing = GrpcChannel.ForAddress("http://h:81", new GrpcChannelOptions { Credentials = ChannelCredentials.Insecure });
        Assert.Equal("h:81", agreeing.Target);
    }
}
