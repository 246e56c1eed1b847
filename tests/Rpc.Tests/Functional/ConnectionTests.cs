using System.Net;
using System.Net.Sockets;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Servers that are not there, or not for long.</summary>
public sealed class ConnectionTests
{
    [Fact]
    public async Task Server_IsNotThere_IsUnavailable()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");

        var failure = await RpcAssert.FailsAsync(StatusCode.Unavailable, new TestService.TestServiceClient(channel).EmptyCallAsync(new()).ResponseAsync);

        Assert.Contains($"127.0.0.1:{port}", failure.Status.Detail, StringComparison.Ordinal);
    }

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

    [Fact]
    public async Task Server_WithAnotherCertificate_IsUnavailable()
    {
        await using var host = await RpcHost.StartAsync(Transport.Tls);
        using var channel = GrpcChannel.ForAddress(host.Address.Uri); // trusts what the machine trusts

        await RpcAssert.FailsAsync(StatusCode.Unavailable, new TestService.TestServiceClient(channel).EmptyCallAsync(new()).ResponseAsync);
    }

    [Fact]
    public async Task Channel_AfterTheServerCameBack_WorksAgain()
    {
        var port = 0;
        await using (var first = await RpcHost.StartAsync())
        {
            port = first.Address.Uri.Port;
            using var other = first.CreateChannel();
            await new TestService.TestServiceClient(other).EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();
        }

        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");
        var client = new TestService.TestServiceClient(channel);
        await RpcAssert.FailsAsync(StatusCode.Unavailable, client.EmptyCallAsync(new()).ResponseAsync);
        await using var second = await RpcHost.StartAsync(port: port);

        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();
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
