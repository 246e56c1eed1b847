using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>How a call that a handler ends reaches its caller.</summary>
public sealed class StatusTests
{
    [Theory]
    [InlineData(StatusCode.NotFound, "no such key")]
    [InlineData(StatusCode.Unauthenticated, "")]
    [InlineData(StatusCode.DataLoss, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈 100 %\t\n")]
    public async Task Handler_ThrowsRpcException_CallerGetsCodeMessageAndTrailers(StatusCode code, string message)
    {
        var trailers = new Metadata { { "reason", "because" }, { "proof-bin", [0, 255, 10] } };
        var service = new ScriptedService { Unary = (_, _) => throw new RpcException(new Status(code, message), trailers) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();

        var failure = await RpcAssert.FailsAsync(code, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);

        Assert.Equal(message, failure.Status.Detail);
        Assert.Equal("because", failure.Trailers.GetValue("reason"));
        Assert.Equal<byte[]?>([0, 255, 10], failure.Trailers.GetValueBytes("proof-bin"));
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Handler_ThrowsWithItsOwnTrailers_CallerGetsThemOnce()
    {
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                context.ResponseTrailers.Add("reason", "because");
                throw new RpcException(new Status(StatusCode.Aborted, ""), context.ResponseTrailers);
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();

        var failure = await RpcAssert.FailsAsync(StatusCode.Aborted, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);

        Assert.Single(failure.Trailers.GetAll("reason"));
    }

    [Fact]
    public async Task Handler_ThrowsWithinAStream_MessagesArriveBeforeTheStatus()
    {
        var service = new ScriptedService
        {
            ServerStream = async (_, responses, context) =>
            {
                await responses.WriteAsync(new());
                await responses.WriteAsync(new());
                context.ResponseTrailers.Add("count", "2");
                throw new RpcException(new Status(StatusCode.OutOfRange, "only two"));
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingOutputCall(new());

        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());
        await RpcAssert.FailsAsync(StatusCode.OutOfRange, call.ResponseStream.MoveNext());
        Assert.Equal("2", call.GetTrailers().GetValue("count"));
        Assert.Equal("only two", call.GetStatus().Detail);
    }

    [Theory]
    [InlineData(null, false)]
    [InlineData(true, true)]
    public async Task Handler_ThrowsSomethingElse_CallerGetsUnknownAndOnlyAskedForDetail(bool? detailed, bool told)
    {
        var service = new ScriptedService { Unary = (_, _) => throw new FormatException("the secret") };
        await using var host = await RpcHost.StartAsync(map: service.Map, options: options => options.EnableDetailedErrors = detailed);
        using var channel = host.CreateChannel();

        var failure = await RpcAssert.FailsAsync(StatusCode.Unknown, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);

        Assert.Equal(told, failure.Status.Detail.Contains("the secret", StringComparison.Ordinal));
        Assert.IsType<FormatException>(Assert.Single(host.Log.Entries, entry => entry.Exception is FormatException).Exception);
    }

    [Fact]
    public async Task Handler_SetsTheStatus_CallerGetsIt()
    {
        var service = new ScriptedService
        {
            ClientStream = (_, context) =>
            {
                context.Status = new Status(StatusCode.FailedPrecondition, "not yet");
                return Task.FromResult(new StreamingInputCallResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).StreamingInputCall();

        var failure = await RpcAssert.FailsAsync(StatusCode.FailedPrecondition, call.ResponseAsync);

        Assert.Equal("not yet", failure.Status.Detail);
    }

    [Fact]
    public async Task Call_OfWhatIsNotThere_IsUnimplemented()
    {
        await using var host = await RpcHost.StartAsync();
        using var channel = host.CreateChannel();

        await RpcAssert.FailsAsync(
            StatusCode.Unimplemented, new TestService.TestServiceClient(channel).UnimplementedCallAsync(new()).ResponseAsync);
        await RpcAssert.FailsAsync(
            StatusCode.Unimplemented, new UnimplementedService.UnimplementedServiceClient(channel).UnimplementedCallAsync(new()).ResponseAsync);
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task StatusAndTrailers_OfARunningCall_AreRefused()
    {
        var service = new ScriptedService { Duplex = (_, _, context) => RpcAssert.WaitAsync(context.CancellationToken) };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();

        Assert.Throws<InvalidOperationException>(() => call.GetStatus());
        Assert.Throws<InvalidOperationException>(() => call.GetTrailers());
    }
}
