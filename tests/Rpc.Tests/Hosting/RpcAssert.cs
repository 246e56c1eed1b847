using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>What the tests of failing calls have in common.</summary>
internal static class RpcAssert
{
    /// <summary>Waits for a call to fail with this code.</summary>
    public static async Task<RpcException> FailsAsync(StatusCode code, Task call)
    {
        var failure = await Assert.ThrowsAsync<RpcException>(() => call.DefaultTimeout());
        Assert.True(code == failure.StatusCode, $"{code} was expected, not {failure.Status}");
        return failure;
    }

    public static ByteString Zeros(int size) => UnsafeByteOperations.UnsafeWrap(new byte[size]);

    public static Task WaitAsync(CancellationToken cancellationToken)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cancellationToken.Register(() => cancelled.TrySetResult());
        return cancelled.Task;
    }
}
