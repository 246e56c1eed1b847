using System.IO.Pipelines;
using System.Net;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>
/// One call from its start to its end. The end is the first of: trailers from the server, a failure of the transport or of a message, the
/// deadline, cancellation. It is decided once, in <see cref="End"/>; whatever goes wrong afterwards is a consequence and is not reported.
/// </summary>
internal sealed class ClientCall<TRequest, TResponse> : IDisposable
    where TRequest : class
    where TResponse : class
{
    /// <summary>Response bytes are read in pieces of an HTTP/2 frame.</summary>
    private static readonly StreamPipeReaderOptions ReaderOptions = new(bufferSize: 16 * 1024, minimumReadSize: 2 * 1024);

    private readonly GrpcChannel _channel;
    private readonly Method<TRequest, TResponse> _method;
    private readonly CallOptions _options;
    private readonly MessageWriter<TRequest> _messages;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource<Metadata> _headers = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private DeadlineTimer? _deadline;
    private CancellationTokenRegistration _cancellation;
    private CancellationTokenRegistration _closing;
    private StreamContent? _requestBody;
    private HttpResponseMessage? _response;
    private CallEnd? _end;

    public ClientCall(GrpcChannel channel, Method<TRequest, TResponse> method, CallOptions options)
    {
        if (options.Deadline is { Kind: not DateTimeKind.Utc } deadline && deadline != DateTime.MaxValue && deadline != DateTime.MinValue)
        {
            throw new ArgumentException("A deadline must be in UTC: use DateTime.UtcNow.Add(...).", nameof(options));
        }

        _channel = channel;
        _method = method;
        _options = options;
        _messages = new MessageWriter<TRequest>(method.RequestMarshaller.ContextualSerializer, channel.MaxSendMessageSize);
        ResponseStream = new ResponseStreamReader<TRequest, TResponse>(this);
    }

    public ResponseStreamReader<TRequest, TResponse> ResponseStream { get; }

    public Task<Metadata> ResponseHeaders => _headers.Task;

    /// <summary>The reader of the response's messages, or null where the call ended before there was one. Never faults.</summary>
    public Task<MessageReader<TResponse>?> Response { get; private set; } = Task.FromResult<MessageReader<TResponse>?>(null);

    /// <summary>Cancelled at the end of the call.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>How the call ended, or null while it runs.</summary>
    public CallEnd? Ended => Volatile.Read(ref _end);

    /// <summary>Sends the call with its one request message.</summary>
    public void Start(TRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Begin(new MessageContent(stream => SendOnlyMessageAsync(stream, request)));
    }

    /// <summary>Sends the call and leaves the request open.</summary>
    public RequestStreamWriter<TRequest, TResponse> StartStream()
    {
        _requestBody = new StreamContent();
        Begin(_requestBody);
        return new RequestStreamWriter<TRequest, TResponse>(this, _requestBody) { WriteOptions = _options.WriteOptions };
    }

    /// <summary>Serializes a message and hands its bytes to the transport.</summary>
    /// <returns>A task that ends when the transport has copied the bytes and, where asked to flush, has sent what it may.</returns>
    public async Task SendAsync(Stream body, TRequest message, bool flush)
    {
        var frame = new PooledBuffer();
        try
        {
            _messages.Write(frame, message);
            await body.WriteAsync(frame.WrittenMemory, Stop);
            if (flush)
            {
                await body.FlushAsync(Stop);
            }
        }
        finally
        {
            frame.Clear();
        }
    }

    /// <summary>Reads the response of a call that has exactly one.</summary>
    public async Task<TResponse> ReadOnlyMessageAsync()
    {
        TResponse? message = null;
        if (await Response is { } reader)
        {
            try
            {
                if (await reader.MoveNextAsync(Stop))
                {
                    message = reader.Current;
                    if (await reader.MoveNextAsync(Stop))
                    {
                        throw new RpcException(new Status(StatusCode.Internal, "the server sent more than one message"));
                    }
                }

                EndWithTrailers(lacksMessage: message is null);
            }
            catch (Exception failure)
            {
                Fail(failure);
            }
        }

        var end = Ended!; // a response without a reader has ended, and so has one that was read
        return end.Status.StatusCode == StatusCode.OK ? message! : throw end.ToException();
    }

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

    /// <summary>The status that stands for an exception, with the method and the address in its sentence.</summary>
    public Status Describe(Exception failure) => failure is RpcException rpc
        ? Local(rpc.StatusCode, rpc.Status.Detail, rpc.Status.DebugException)
        : Local(StatusMapping.FromException(failure), failure.Message, failure);

    public RpcException ToException(Status status) => new CallEnd(status, Metadata.Empty, Description).ToException();

    public void Cancel(string reason) => End(Local(StatusCode.Cancelled, reason, null), Metadata.Empty);

    public Status GetStatus() => Running(Ended).Status;

    public Metadata GetTrailers() => Running(Ended).Trailers;

    /// <summary>Cancels the call where it still runs.</summary>
    public void Dispose() => Cancel("the caller disposed the call");

    private string Description => $"{_method.FullName} at {_channel.Address.GetLeftPart(UriPartial.Authority)}";

    private static CallEnd Running(CallEnd? end)
        => end ?? throw new InvalidOperationException("The call still runs: read its response to the end before its status and trailers.");

    private void Begin(HttpContent body)
    {
        _cancellation = _options.CancellationToken.UnsafeRegister(
            static call => ((ClientCall<TRequest, TResponse>)call!).Cancel("the caller cancelled the call"), this);
        _closing = _channel.Closing.UnsafeRegister(
            static call => ((ClientCall<TRequest, TResponse>)call!).Cancel("the channel was disposed"), this);
        if (_options.Deadline is { } deadline && deadline != DateTime.MaxValue)
        {
            var started = DateTime.UtcNow;
            _deadline = new DeadlineTimer(deadline, () => PassDeadline(deadline - started));
            _deadline.Start();
        }

        if (Ended is not null)
        {
            ReleaseRegistrations(); // it ended while they were made, before all were there to be released
            return;
        }

        Response = OpenAsync(body);
    }

    private async Task<MessageReader<TResponse>?> OpenAsync(HttpContent body)
    {
        try
        {
            var response = await _channel.Transport.SendAsync(CreateRequest(body), Stop);
            Interlocked.Exchange(ref _response, response);
            if (Ended is not null)
            {
                response.Dispose(); // End may have looked for it just before it was there
                return null;
            }

            var headers = ResponseHead.ReadMetadata(response.Headers);
            if (ResponseHead.TryReadStatus(response.Headers, out var status))
            {
                _headers.TrySetResult(headers);
                End(status, headers);
                return null;
            }

            if (ResponseHead.Refusal(response) is { } refusal)
            {
                End(Local(refusal.StatusCode, refusal.Detail, null), headers);
                return null;
            }

            _headers.TrySetResult(headers);
            return new MessageReader<TResponse>(
                PipeReader.Create(await response.Content.ReadAsStreamAsync(Stop), ReaderOptions),
                _method.ResponseMarshaller.ContextualDeserializer,
                _channel.MaxReceiveMessageSize);
        }
        catch (Exception failure)
        {
            Fail(failure);
            return null;
        }
    }

    private HttpRequestMessage CreateRequest(HttpContent body)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_channel.Address, _method.FullName))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = body,
        };
        body.Headers.ContentType = MessageContent.GrpcContentType;
        request.Headers.TryAddWithoutValidation("te", "trailers");
        request.Headers.TryAddWithoutValidation(GrpcProtocol.AcceptEncodingHeader, GrpcProtocol.IdentityEncoding);
        foreach (var entry in _options.Headers ?? Metadata.Empty)
        {
            request.Headers.TryAddWithoutValidation(entry.Key, MetadataCoding.Encode(entry));
        }

        if (!request.Headers.NonValidated.Contains(GrpcProtocol.UserAgentHeader))
        {
            request.Headers.TryAddWithoutValidation(GrpcProtocol.UserAgentHeader, "grpc-dotnet-distributed/1.0");
        }

        if (_options.Deadline is { } deadline && deadline != DateTime.MaxValue)
        {
            request.Headers.TryAddWithoutValidation(GrpcProtocol.TimeoutHeader, TimeoutCoding.Encode(deadline - DateTime.UtcNow));
        }

        return request;
    }

    private async Task SendOnlyMessageAsync(Stream body, TRequest request)
    {
        try
        {
            await SendAsync(body, request, flush: false); // the end of the request flushes
        }
        catch (Exception failure) when (failure is not (IOException or OperationCanceledException or ObjectDisposedException))
        {
            // The message could not be serialized. A failure of the transport is left to the response, which may say more.
            Fail(failure);
            throw;
        }
    }

    private void PassDeadline(TimeSpan limit)
        => End(Local(StatusCode.DeadlineExceeded, $"the deadline of {Math.Max(limit.TotalSeconds, 0):0.###} s has passed", null), Metadata.Empty);

    private Status Local(StatusCode code, string what, Exception? cause) => new(code, $"{Description}: {what}", cause);

    private void End(Status status, Metadata trailers)
    {
        var end = new CallEnd(status, trailers, Description);
        if (Interlocked.CompareExchange(ref _end, end, null) is not null)
        {
            return;
        }

        ReleaseRegistrations();
        if (_headers.TrySetException(end.ToException()))
        {
            _ = _headers.Task.Exception; // marks it as seen: most callers do not ask for the headers
        }

        try
        {
            _requestBody?.Abort();
            _stop.Cancel();
            Interlocked.CompareExchange(ref _response, null, null)?.Dispose();
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
