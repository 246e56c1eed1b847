using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <content>How the call ends.</content>
internal sealed partial class ClientCall<TRequest, TResponse>
{
    private readonly CancellationTokenSource _stop = new();
    private DeadlineTimer? _deadline;
    private CancellationTokenRegistration _cancellation;
    private CancellationTokenRegistration _closing;
    private CallEnd? _end;

    /// <summary>Cancelled at the end of the call.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>How the call ended, or null while it runs.</summary>
    public CallEnd? Ended => Volatile.Read(ref _end);

    /// <summary>Ends the call with the status in the trailers; the messages have been read to the end.</summary>
    public void EndWithTrailers(bool lacksMessage = false)
    {
        var headers = _response!.TrailingHeaders; // there is a reader, so there is a response
        var trailers = ResponseHead.ReadMetadata(headers);
        if (!ResponseHead.TryReadStatus(headers, out var status))
        {
            status = Local(StatusCode.Unknown, "the server ended the response without a status", null);
        }
        else if (lacksMessage && status.StatusCode == StatusCode.OK)
        {
            status = Local(StatusCode.Internal, "the server reported OK without sending a message", null);
        }

        End(status, trailers);
    }

    /// <summary>Ends the call because of an exception.</summary>
    public void Fail(Exception failure) => End(Describe(failure), Metadata.Empty);

    public void Cancel(string reason)
    {
        if (Ended is null)
        {
            End(Local(StatusCode.Cancelled, reason, null), Metadata.Empty);
        }
    }

    /// <summary>A new exception for each one who asks, since each has a stack of its own. Its text names the method and the address.</summary>
    public RpcException ToException(CallEnd end)
    {
        var text = end.Status.ToString();
        return new RpcException(end.Status, end.Trailers, text.Contains(Description, StringComparison.Ordinal) ? text : $"{text} from {Description}");
    }

    public Status GetStatus() => Running(Ended).Status;

    public Metadata GetTrailers() => Running(Ended).Trailers;

    /// <summary>Cancels the call where it still runs.</summary>
    public void Dispose() => Cancel("the caller disposed the call");

    private string Description => $"{_method.FullName} at {_channel.AddressText}";

    private static CallEnd Running(CallEnd? end)
        => end ?? throw new InvalidOperationException("The call still runs: read its response to the end before its status and trailers.");

    private void PassDeadline(TimeSpan limit)
        => End(Local(StatusCode.DeadlineExceeded, $"the deadline of {Math.Max(limit.TotalSeconds, 0):0.###} s has passed", null), Metadata.Empty);

    /// <summary>The status that stands for an exception.</summary>
    private Status Describe(Exception failure)
    {
        if (failure is RpcException rpc)
        {
            return Local(rpc.StatusCode, rpc.Status.Detail, rpc.Status.DebugException);
        }

        // The server has the same deadline; where its reset overtakes this side's timer, the deadline is the reason all the same.
        return _options.Deadline <= DateTime.UtcNow
            ? Local(StatusCode.DeadlineExceeded, $"the deadline has passed ({failure.Message})", failure)
            : Local(StatusMapping.FromException(failure), failure.Message, failure);
    }

    private Status Local(StatusCode code, string what, Exception? cause) => new(code, $"{Description}: {what}", cause);

    private void End(Status status, Metadata trailers)
    {
        var end = new CallEnd(status, trailers);
        if (Interlocked.CompareExchange(ref _end, end, null) is not null)
        {
            return;
        }

        ReleaseRegistrations();
        if (!_headers.Task.IsCompleted && _headers.TrySetException(ToException(end)))
        {
            _ = _headers.Task.Exception; // marks it as seen: most callers do not ask for the headers
        }

        try
        {
            _requestBody?.Abort();
            _stop.Cancel();
            Volatile.Read(ref _response)?.Dispose();
        }
        catch (Exception)
        {
            // This runs in timer and cancellation callbacks, where an exception of the HTTP handler would end the process; and the
            // outcome of the call is decided already.
        }
    }

    private void ReleaseRegistrations()
    {
        _deadline?.Dispose();
        _cancellation.Unregister(); // not Dispose, which would wait for a callback that may wait for this
        _closing.Unregister();
    }
}
