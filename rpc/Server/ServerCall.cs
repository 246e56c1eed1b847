using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server;

/// <summary>
/// One call from its request to its status. The status is sent once, by whichever comes first: the return of the handler, or the
/// deadline. A handler that runs on after the deadline keeps the HTTP request, but can send nothing more.
/// </summary>
internal sealed partial class ServerCall : ServerCallContext
{
    private readonly GrpcServiceOptions _options;
    private readonly ILogger _logger;
    private readonly ServerResponse _response;
    private readonly Turn _reading = new("read", "The call has ended: nothing can be read.");

    public ServerCall(HttpContext http, string method, GrpcServiceOptions options, ILogger logger)
    {
        HttpContext = http;
        Method = method;
        _options = options;
        _logger = logger;
        _response = new ServerResponse(http);
        _cancellationToken = http.RequestAborted;
    }

    public HttpContext HttpContext { get; }

    public async Task RunAsync(Func<ServerCall, Task> serve)
    {
        using var deadline = ServerDeadline.Start(this);
        var status = await HandleAsync(serve);
        if (_response.TryClose())
        {
            await StopReadingAsync();
            await _response.SendStatusAsync(status, _trailers);
        }
        else
        {
            await deadline!.Answered; // only the deadline closes a response besides this method
        }
    }

    public async Task ServeUnaryAsync<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse> handler)
        where TRequest : class
        where TResponse : class
    {
        var request = await ReadOnlyMessageAsync(method);
        await WriteOnlyMessageAsync(method, await handler(request, this));
    }

    public async Task ServeClientStreamingAsync<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse> handler)
        where TRequest : class
        where TResponse : class
        => await WriteOnlyMessageAsync(method, await handler(OpenRequests(method), this));

    public async Task ServeServerStreamingAsync<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse> handler)
        where TRequest : class
        where TResponse : class
    {
        var request = await ReadOnlyMessageAsync(method);
        await handler(request, OpenResponses(method), this);
    }

    public Task ServeDuplexStreamingAsync<TRequest, TResponse>(
        Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse> handler)
        where TRequest : class
        where TResponse : class
        => handler(OpenRequests(method), OpenResponses(method), this);

    /// <summary>Runs the handler; whatever it throws becomes a status.</summary>
    private async Task<Status> HandleAsync(Func<ServerCall, Task> serve)
    {
        try
        {
            CheckRequest();
            if (_response.IsClosed)
            {
                return Status.DefaultCancelled; // the deadline passed while the request was on its way
            }

            await serve(this);
            return Status;
        }
        catch (RpcException failure)
        {
            ServerLog.CallFailed(_logger, Method, Peer, failure.StatusCode, failure.Status.Detail);
            AddTrailers(failure.Trailers);
            return failure.Status;
        }
        catch (Exception failure) when (
            failure is CallAbortedException || CancellationToken.IsCancellationRequested || _response.IsClosed)
        {
            // A consequence of the abort or, where the response is closed while the handler runs, of the deadline.
            ServerLog.CallAborted(_logger, Method, Peer);
            return Status.DefaultCancelled;
        }
        catch (Exception failure)
        {
            ServerLog.HandlerFailed(_logger, Method, Peer, failure);
            var detail = _options.EnableDetailedErrors == true ? $" {failure.GetType().Name}: {failure.Message}" : "";
            return new Status(StatusCode.Unknown, $"Exception was thrown by handler.{detail}", failure);
        }
    }

    private void AddTrailers(Metadata trailers)
    {
        if (ReferenceEquals(trailers, _trailers))
        {
            return; // a handler may throw with its own ResponseTrailers
        }

        foreach (var entry in trailers)
        {
            ResponseTrailers.Add(entry);
        }
    }

    private void CheckRequest()
    {
        var encoding = HttpContext.Request.Headers[GrpcProtocol.EncodingHeader].ToString();
        if (!GrpcProtocol.IsIdentity(encoding))
        {
            HttpContext.Response.Headers[GrpcProtocol.AcceptEncodingHeader] = GrpcProtocol.IdentityEncoding;
            throw new RpcException(new Status(
                StatusCode.Unimplemented, $"The grpc-encoding '{encoding}' is not supported; send messages with grpc-encoding 'identity'."));
        }

        var timeout = HttpContext.Request.Headers[GrpcProtocol.TimeoutHeader].ToString();
        if (timeout.Length > 0 && !TimeoutCoding.TryDecode(timeout, out _))
        {
            throw new RpcException(new Status(
                StatusCode.Internal, $"The grpc-timeout '{timeout}' is malformed; it must be one to eight digits and one of H M S m u n."));
        }
    }

    private RequestStreamReader<TRequest> OpenRequests<TRequest, TResponse>(Method<TRequest, TResponse> method)
        where TRequest : class
    {
        return new RequestStreamReader<TRequest>(
            _reading, HttpContext.Request.BodyReader, method.RequestMarshaller.ContextualDeserializer, _options.MaxReceiveMessageSize);
    }

    /// <summary>Ends a read that the handler left behind and allows no other: the server uses the body's pipe for its next request.</summary>
    private Task StopReadingAsync()
    {
        _reading.TryClose();
        if (_reading.IsTaken)
        {
            try
            {
                HttpContext.Request.BodyReader.CancelPendingRead();
            }
            catch (Exception)
            {
                // Kestrel throws the reason for which the client's stream ended; for the same reason the read ends by itself.
            }
        }

        return _reading.WhenIdle();
    }

    private ResponseStreamWriter<TResponse> OpenResponses<TRequest, TResponse>(Method<TRequest, TResponse> method)
        where TResponse : class
        => new(this, _response, new MessageWriter<TResponse>(method.ResponseMarshaller.ContextualSerializer, _options.MaxSendMessageSize));

    private async Task<TRequest> ReadOnlyMessageAsync<TRequest, TResponse>(Method<TRequest, TResponse> method)
        where TRequest : class
    {
        var requests = OpenRequests(method);
        if (!await requests.MoveNext(CancellationToken.None))
        {
            throw new RpcException(new Status(StatusCode.Internal, $"{method.FullName} takes one request message; none was sent."));
        }

        var request = requests.Current;
        return await requests.MoveNext(CancellationToken.None)
            ? throw new RpcException(new Status(StatusCode.Internal, $"{method.FullName} takes one request message; more were sent."))
            : request;
    }

    /// <summary>Writes the response where the call succeeded; it leaves together with the status.</summary>
    private Task WriteOnlyMessageAsync<TRequest, TResponse>(Method<TRequest, TResponse> method, TResponse? response)
        where TResponse : class
    {
        if (Status.StatusCode != StatusCode.OK)
        {
            return Task.CompletedTask;
        }

        return response is null
            ? throw new InvalidOperationException($"The handler of {method.FullName} returned null.")
            : _response.WriteAsync(
                new MessageWriter<TResponse>(method.ResponseMarshaller.ContextualSerializer, _options.MaxSendMessageSize),
                response, flush: false, CancellationToken.None);
    }
}
