using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Where the instance comes from that serves a call.</summary>
public sealed class ServiceActivationTests
{
    [Fact]
    public async Task Service_NotRegistered_IsCreatedAndDisposedEachCall()
    {
        var journal = new Journal();
        await using var host = await RpcHost.StartAsync(
            map: app => app.MapGrpcService<PerCallService>(), services: services => services.AddSingleton(journal));
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();
        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.Equal(["created", "called", "disposed", "created", "called", "disposed"], journal.Lines);
    }

    [Fact]
    public async Task Service_RegisteredAsSingleton_ServesAllCalls()
    {
        var journal = new Journal();
        await using var host = await RpcHost.StartAsync(
            map: app => app.MapGrpcService<PerCallService>(),
            services: services => services.AddSingleton(journal).AddSingleton<PerCallService>());
        using var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);

        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();
        await client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();

        Assert.Equal(["created", "called", "called"], journal.Lines);
    }

    [Fact]
    public async Task Endpoint_OfAMethod_CarriesMetadataAndConventions()
    {
        Endpoint? endpoint = null;
        await using var host = await RpcHost.StartAsync(
            map: app => app.MapGrpcService<PerCallService>().WithMetadata("added"),
            services: services => services.AddSingleton(new Journal(context => endpoint = context.GetHttpContext().GetEndpoint())));
        using var channel = host.CreateChannel();

        await new TestService.TestServiceClient(channel).EmptyCallAsync(new()).ResponseAsync.DefaultTimeout();

        var method = endpoint!.Metadata.GetMetadata<GrpcMethodMetadata>()!;
        Assert.Equal(typeof(PerCallService), method.ServiceType);
        Assert.Equal("/grpc.testing.TestService/EmptyCall", method.Method.FullName);
        Assert.Equal(MethodType.Unary, method.Method.Type);
        Assert.Contains("added", endpoint.Metadata);
        Assert.Equal("mark", endpoint.Metadata.GetMetadata<MarkAttribute>()!.Text);
    }

    [Fact]
    public void Map_WithoutAddGrpc_Throws()
        => Assert.Throws<InvalidOperationException>(() => WebApplication.CreateSlimBuilder().Build().MapGrpcService<InteropService>());

    internal sealed class Journal(Action<ServerCallContext>? look = null)
    {
        public List<string> Lines { get; } = [];

        public void Look(ServerCallContext context) => look?.Invoke(context);
    }

    [AttributeUsage(AttributeTargets.Class)]
    internal sealed class MarkAttribute(string text) : Attribute
    {
        public string Text { get; } = text;
    }

    [Mark("mark")]
    internal sealed class PerCallService : TestService.TestServiceBase, IAsyncDisposable
    {
        private readonly Journal _journal;

        public PerCallService(Journal journal)
        {
            _journal = journal;
            journal.Lines.Add("created");
        }

        public override Task<Empty> EmptyCall(Empty request, ServerCallContext context)
        {
            _journal.Lines.Add("called");
            _journal.Look(context);
            return Task.FromResult(new Empty());
        }

        public ValueTask DisposeAsync()
        {
            _journal.Lines.Add("disposed");
            return ValueTask.CompletedTask;
        }
    }
}
