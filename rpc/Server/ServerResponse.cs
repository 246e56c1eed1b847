using System.Globalization;
using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Grpc.AspNetCore.Server;

/// <summary>The response of a call: headers, messages, status, in this order and one write at a time.</summary>
internal sealed class ServerResponse(HttpContext http)
{
    private const int InternalError = 2; // HTTP/2 error codes, RFC 9113 section 7
    private const int Cancel = 8;

    private readonly Turn _turn = new("write", "The call has ended: nothing can be written.");

    /// <summary>Whether the status is being sent, or was.</summary>
    public bool IsClosed => _turn.IsClosed;

    /// <summary>Sends the headers before any message.</summary>
    public async Task WriteHeadersAsync(Metadata headers)
    {
        _turn.Take();
        try
        {
            if (http.Response.HasStarted)
            {
                throw new InvalidOperationException("The response headers have been sent already.");
            }

            Append(http.Response.Headers, headers);
            await FlushAsync(CancellationToken.None);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Writes a message straight into the connection's pipe.</summary>
    public async Task WriteAsync<T>(MessageWriter<T> messages, T message, bool flush, CancellationToken cancellationToken)
    {
        _turn.Take();
        try
        {
            if (!http.Response.HasStarted)
            {
                await http.Response.StartAsync(cancellationToken);
            }

            try
            {
                messages.Write(http.Response.BodyWriter, message);
            }
            catch (Exception) when (messages.IsPartial)
            {
                Reset(InternalError); // the stream is out of step; the caller must not take what follows for messages
                throw;
            }

            if (flush)
            {
                await FlushAsync(cancellationToken);
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Claims the right to send the status; true for the first who asks. From now on writes fail.</summary>
    public bool TryClose() => _turn.TryClose();

    /// <summary>Sends the status when the write in progress has ended; the server sends it off when the request ends.</summary>
    public async Task SendStatusAsync(Status status, Metadata? trailers)
    {
        await _turn.WhenIdle();
        AppendStatus(status, trailers);
    }

    /// <summary>Sends the status at once although the handler still runs; where it is within a write, resets the stream instead.</summary>
    public async Task SendStatusNowAsync(Status status)
    {
        if (_turn.IsTaken)
        {
            Reset(Cancel);
            return;
        }

        AppendStatus(status, null);
        await http.Response.CompleteAsync();
    }

    private async Task FlushAsync(CancellationToken cancellationToken)
    {
        var result = await http.Response.BodyWriter.FlushAsync(cancellationToken);
        if (result.IsCompleted || result.IsCanceled)
        {
            throw new CallAbortedException(null);
        }
    }

    /// <summary>Into the trailers, or into the headers of a response that has nothing else.</summary>
    private void AppendStatus(Status status, Metadata? trailers)
    {
        var target = http.Response.HasStarted
            ? http.Features.GetRequiredFeature<IHttpResponseTrailersFeature>().Trailers
            : http.Response.Headers;
        try
        {
            Append(target, trailers ?? Metadata.Empty);
        }
        catch (RpcException refused)
        {
            status = refused.Status;
        }

        target[GrpcProtocol.StatusTrailer] = ((int)status.StatusCode).ToString(CultureInfo.InvariantCulture);
        if (!string.IsNullOrEmpty(status.Detail))
        {
            target[GrpcProtocol.MessageTrailer] = PercentCoding.Encode(status.Detail);
        }
    }

    private static void Append(IHeaderDictionary target, Metadata metadata)
    {
        foreach (var entry in metadata)
        {
            target[entry.Key] = StringValues.Concat(target[entry.Key], MetadataCoding.Encode(entry)); // Append would drop an empty value
        }
    }

    private void Reset(int errorCode)
    {
        if (http.Features.Get<IHttpResetFeature>() is { } reset)
        {
            reset.Reset(errorCode);
        }
        else
        {
            http.Abort();
        }
    }
}
