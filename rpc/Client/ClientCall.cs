using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>
/// One call from its start to its end. The end is the first of: trailers from the server, a failure of the transport or of a message, the
/// deadline, cancellation. It is decided once, in <see cref="End"/>; whatever goes wrong afterwards is a consequence and is not reported.
/// </summary>
internal sealed partial class ClientCall<TRequest, TResponse> : IDisposable
    where TRequest : class
    where TResponse : class
{
    /// <summary>Response bytes are read in pieces of several HTTP/2 frames, where there are several.</summary>
    private static readonly StreamPipeReaderOptions ReaderOptions = new(bufferSize: 64 * 1024, minimumReadSize: 2 * 1024);

    private readonly GrpcChannel _channel;
    private readonly Method<TRequest, TResponse> _method;
    private readonly CallOptions _options;
    private readonly MessageWriter<TRequest> _messages;
    private readonly TaskCompletionSource<Metadata> _headers = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private MessageStreamContent? _requestBody;
    private Task _settled = Task.CompletedTask; // ends when the status is known, or a reader of messages is needed to know it
    private HttpResponseMessage? _response;

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
    }

    public Task<Metadata> ResponseHeaders => _headers.Task;

    /// <summary>The reader of the response's messages, or null where the call ended before there was one. Never faults.</summary>
    public Task<MessageReader<TResponse>?> Response { get; private set; } = Task.FromResult<MessageReader<TResponse>?>(null);

    /// <summary>Sends the call with its one request message.</summary>
    public void Start(TRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Begin(new MessageContent(stream => SendOnlyMessageAsync(stream, request)));
    }

    /// <summary>Sends the call and leaves the request open.</summary>
    public RequestStreamWriter<TRequest, TResponse> StartStream()
    {
        _requestBody = new MessageStreamContent();
        Begin(_requestBody);
        return new RequestStreamWriter<TRequest, TResponse>(this, _requestBody) { WriteOptions = _options.WriteOptions };
    }

    /// <summary>The frame of a message, which <see cref="SendAsync"/> gives back to the pool.</summary>
    /// <exception cref="RpcException">The message is too large, or its serializer failed; nothing was sent.</exception>
    public PooledBuffer Serialize(TRequest message)
    {
        var frame = new PooledBuffer();
        try
        {
            _messages.Write(frame, message);
            return frame;
        }
        catch (Exception failure)
        {
            frame.Clear();
            var status = failure is RpcException ? Describe(failure) : Local(StatusCode.Internal, $"the message cannot be written: {failure.Message}", failure);
            throw ToException(new CallEnd(status, Metadata.Empty));
        }
    }

    /// <summary>Hands a frame to the transport; ends when its bytes were copied and, where asked to flush, sent as far as the peer permits.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask SendAsync(Stream body, PooledBuffer frame, bool flush)
    {
        try
        {
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

    /// <summary>
    /// What to report for a request that could not be sent. Usually the server has ended the call, and its status is on the way or here:
    /// the stream is closed in both directions, so whoever reads the response is about to know. Only where nobody does, in a duplex call
    /// with messages still to be read, the reason is left to the reader.
    /// </summary>
    public async Task<RpcException> ExplainAsync(Exception failure)
    {
        await _settled.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var status = failure is OperationCanceledException
            ? Local(StatusCode.Cancelled, "the server has ended the call; its status follows the messages of the response stream", failure)
            : Describe(failure);
        return ToException(Ended ?? new CallEnd(status, Metadata.Empty));
    }

    /// <summary>Reads the response of a call that has exactly one.</summary>
    public Task<TResponse> ReadOnlyMessageAsync()
    {
        var message = ReadOnlyMessageCoreAsync();
        _settled = message;
        _ = message.ContinueWith( // marks a failure as seen: a caller that disposes the call need not await the response
            static task => task.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously | TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return message;
    }

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
        _settled = Response;
    }

    private async Task<MessageReader<TResponse>?> OpenAsync(HttpContent body)
    {
        try
        {
            var response = await _channel.Transport.SendAsync(RequestHead.Create(_channel.Address, _method.FullName, _options, body), Stop);
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

    private async Task<TResponse> ReadOnlyMessageCoreAsync()
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
        return end.Status.StatusCode == StatusCode.OK ? message! : throw ToException(end);
    }

    private Task SendOnlyMessageAsync(Stream body, TRequest request)
    {
        try
        {
            return SendAsync(body, Serialize(request), flush: false).AsTask(); // the end of the request flushes
        }
        catch (RpcException failure)
        {
            End(failure.Status, Metadata.Empty); // the first cause, before the handler reports that the request failed
            throw;
        }
    }
}
