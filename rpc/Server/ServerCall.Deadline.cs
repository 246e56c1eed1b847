using Grpc.Core;
using Grpc.Wire;

namespace Grpc.AspNetCore.Server;

/// <content>The deadline that the client set.</content>
internal sealed partial class ServerCall
{
    private DateTime _deadline = DateTime.MaxValue;
    private CancellationToken _cancellationToken;

    /// <summary>
    /// Answers DEADLINE_EXCEEDED when the time is over, whether or not the handler watches its token: the client may be another
    /// implementation, and one that waits for the server's answer.
    /// </summary>
    private sealed class ServerDeadline : IDisposable
    {
        private readonly ServerCall _call;
        private readonly CancellationTokenSource _cancellation;
        private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly DeadlineTimer _timer;

        private ServerDeadline(ServerCall call, DateTime deadline)
        {
            _call = call;
            _cancellation = CancellationTokenSource.CreateLinkedTokenSource(call._cancellationToken);
            _timer = new DeadlineTimer(deadline, () => _ = PassAsync());
            call._deadline = deadline;
            call._cancellationToken = _cancellation.Token;
            _timer.Start();
        }

        /// <summary>Ends when the answer has been given; only where the deadline passed before the handler returned.</summary>
        public Task Answered => _answered.Task;

        /// <summary>Starts to watch the deadline; null where the client set none, or none that can be read.</summary>
        public static ServerDeadline? Start(ServerCall call)
        {
            var header = call.HttpContext.Request.Headers[GrpcProtocol.TimeoutHeader].ToString();
            var now = DateTime.UtcNow;
            return TimeoutCoding.TryDecode(header, out var timeout) && timeout < DateTime.MaxValue - now
                ? new ServerDeadline(call, now + timeout)
                : null;
        }

        public void Dispose()
        {
            _timer.Dispose();
            _cancellation.Dispose();
        }

        /// <summary>Runs from the timer, where nobody would see an exception: it throws nothing.</summary>
        private async Task PassAsync()
        {
            if (!_call._response.TryClose())
            {
                return; // the handler returned in this moment
            }

            ServerLog.DeadlinePassed(_call._logger, _call.Method, _call.Peer);
            await TryAsync(() => _call._response.SendStatusNowAsync(new Status(StatusCode.DeadlineExceeded, "The deadline has passed.")));
            await TryAsync(_cancellation.CancelAsync); // runs what the handler registered, which may throw
            await TryAsync(_call.StopReadingAsync);
            _answered.TrySetResult();
        }

        private async Task TryAsync(Func<Task> step)
        {
            try
            {
                await step();
            }
            catch (Exception failure)
            {
                ServerLog.DeadlineFailed(_call._logger, _call.Method, _call.Peer, failure);
            }
        }
    }
}
