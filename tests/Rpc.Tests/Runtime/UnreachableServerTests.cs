using System.Net;
using System.Net.Sockets;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>What a caller is told of servers that cannot be reached.</summary>
public sealed class UnreachableServerTests
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
}
