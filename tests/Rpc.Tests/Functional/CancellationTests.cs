using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Functional;

/// <summary>Cancellation in both directions.</summary>
public sealed class CancellationTests
{
    [Theory, CombineTransports]
    public async Task Token_IsCancelled_EndsTheCallOnBothSides(Transport transport)
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await RpcHost.StartAsync(transport, Waiting(started, ended).Map);
        using var channel = host.CreateChannel();
        using var cancellation = new CancellationTokenSource();
        using var call = new TestService.TestServiceClient(channel).UnaryCallAsync(new(), cancellationToken: cancellation.Token);
        await started.Task.DefaultTimeout();

        await cancellation.CancelAsync();

        await RpcAssert.FailsAsync(StatusCode.Cancelled, call.ResponseAsync);
        Assert.Equal(StatusCode.Cancelled, call.GetStatus().StatusCode);
        await ended.Task.DefaultTimeout();
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Token_IsCancelledBefore_NothingIsSent()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await RpcHost.StartAsync(map: Waiting(started, new()).Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).UnaryCallAsync(new(), cancellationToken: new CancellationToken(true));

        await RpcAssert.FailsAsync(StatusCode.Cancelled, call.ResponseAsync);

        Assert.False(started.Task.IsCompleted);
    }

    [Fact]
    public async Task Dispose_OfARunningCall_CancelsIt()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await RpcHost.StartAsync(map: Waiting(started, ended).Map);
        using var channel = host.CreateChannel();
        var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        var read = call.ResponseStream.MoveNext();
        await started.Task.DefaultTimeout();

        call.Dispose();

        await RpcAssert.FailsAsync(StatusCode.Cancelled, read);
        await ended.Task.DefaultTimeout();
    }

    [Fact]
    public async Task ReadToken_IsCancelled_CancelsTheCall()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await RpcHost.StartAsync(map: Waiting(started, ended).Map);
        using var channel = host.CreateChannel();
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        using var cancellation = new CancellationTokenSource();
        var read = call.ResponseStream.MoveNext(cancellation.Token);
        await started.Task.DefaultTimeout();

        await cancellation.CancelAsync();

        await RpcAssert.FailsAsync(StatusCode.Cancelled, read);
        await ended.Task.DefaultTimeout();
    }

    [Fact]
    public async Task Dispose_OfTheChannel_CancelsItsCalls()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await RpcHost.StartAsync(map: Waiting(started, ended).Map);
        var channel = host.CreateChannel();
        var client = new TestService.TestServiceClient(channel);
        using var call = client.UnaryCallAsync(new());
        await started.Task.DefaultTimeout();

        channel.Dispose();

        await RpcAssert.FailsAsync(StatusCode.Cancelled, call.ResponseAsync);
        await ended.Task.DefaultTimeout();
        Assert.Throws<ObjectDisposedException>(() => client.UnaryCallAsync(new()));
    }

    [Theory, CombineTransports]
    public async Task Client_Cancels_EndsTheHandlersReadAndWrite(Transport transport)
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var outcome = new TaskCompletionSource<(Exception? Read, Exception? Write)>(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            Duplex = async (requests, responses, context) =>
            {
                started.TrySetResult();
                var read = await Record.ExceptionAsync(() => requests.MoveNext());
                await RpcAssert.WaitAsync(context.CancellationToken);
                outcome.TrySetResult((read, await Record.ExceptionAsync(() => responses.WriteAsync(new()))));
            },
        };
        await using var host = await RpcHost.StartAsync(transport, service.Map);
        using var channel = host.CreateChannel();
        var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        await started.Task.DefaultTimeout();

        call.Dispose();

        var (read, write) = await outcome.Task.DefaultTimeout();
        Assert.NotNull(read);
        Assert.NotNull(write);
        Assert.Empty(host.Log.Errors);
    }

    private static ScriptedService Waiting(TaskCompletionSource started, TaskCompletionSource ended) => new()
    {
        Unary = async (_, context) =>
        {
            started.TrySetResult();
            await RpcAssert.WaitAsync(context.CancellationToken);
            ended.TrySetResult();
            return new SimpleResponse();
        },
        Duplex = async (_, _, context) =>
        {
            started.TrySetResult();
            await RpcAssert.WaitAsync(context.CancellationToken);
            ended.TrySetResult();
        },
    };
}
