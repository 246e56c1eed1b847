using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>
/// Makes HTTP/2 calls, each on a connection of its own, which it ends with: for calls that last, and whose bytes should meet no thread on their way. It has no
/// proxies, redirects or cookies, and tries nothing twice.
/// </summary>
/// <param name="connect">Connects a socket, within a limit of its own.</param>
/// <param name="tls">How the connection is protected; null for cleartext.</param>
internal sealed class CallHandler(Func<CancellationToken, Task<Socket>> connect, SslClientAuthenticationOptions? tls) : HttpMessageHandler
{
    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var connection = await ConnectAsync(cancellationToken);
        using var ending = cancellationToken.UnsafeRegister(static connection => ((CallConnection)connection!).Dispose(), connection);
        try
        {
            await connection.BeginAsync(cancellationToken);
            await connection.WriteHeadersAsync(Head(request), isLast: request.Content is null, cancellationToken);
            if (request.Content is { } content)
            {
                _ = SendBodyAsync(connection, content);
            }

            HttpResponseMessage response;
            do
            {
                await connection.ReadHeadersAsync(cancellationToken);
                response = Response(request, connection);
            }
            while ((int)response.StatusCode < 200); // something that comes before the answer
            return response;
        }
        catch (Exception exception)
        {
            connection.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw exception is HttpRequestException ? exception : new HttpRequestException(HttpRequestError.ResponseEnded, exception.Message, exception);
        }
    }

    private async Task<CallConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        SocketStream? socket = null;
        try
        {
            socket = new SocketStream(await connect(cancellationToken));
            if (tls is null)
            {
                return new CallConnection(socket, tls: null, isServer: false);
            }

            var protection = new SslStream(socket);
            await protection.AuthenticateAsClientAsync(tls, cancellationToken);
            return new CallConnection(socket, protection, isServer: false);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            socket?.Dispose();
            var cause = exception is OperationCanceledException ? new TimeoutException("the connection was not made within its limit", exception) : exception;
            throw new HttpRequestException(
                tls is null || socket is null ? HttpRequestError.ConnectionError : HttpRequestError.SecureConnectionError, cause.Message, cause);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }
    }

    private static HeaderWriter Head(HttpRequestMessage request)
    {
        var address = request.RequestUri!; // an invoker checks that there is one
        var block = new HeaderWriter();
        block.Add(":method", request.Method.Method);
        block.Add(":scheme", address.Scheme);
        block.Add(":authority", address.Authority);
        block.Add(":path", address.PathAndQuery);
        Add(request.Headers);
        if (request.Content is { } content)
        {
            Add(content.Headers);
        }

        return block;

        void Add(HttpHeaders headers)
        {
            foreach (var (name, values) in headers.NonValidated)
            {
                foreach (var value in values)
                {
                    block.Add(name, value);
                }
            }
        }
    }

    // The body is others' to write into for as long as the call lasts.
    private static async Task SendBodyAsync(CallConnection connection, HttpContent content)
    {
        try
        {
            await content.CopyToAsync(new CallBody(connection, ended: null));
            await connection.WriteBodyAsync(ReadOnlyMemory<byte>.Empty, isLast: true, CancellationToken.None);
        }
        catch (Exception)
        {
            if (!connection.IsRead)
            {
                connection.Dispose(); // the call is over without its end, and whoever reads hears of it
            }
        }
    }

    private static HttpResponseMessage Response(HttpRequestMessage request, CallConnection connection)
    {
        var response = new HttpResponseMessage { Version = HttpVersion.Version20, RequestMessage = request };
        response.Content = new StreamContent(new CallBody(connection, () => AddTrailers(response, connection)));
        foreach (var (name, value) in connection.TakeFields())
        {
            if (name == ":status")
            {
                response.StatusCode = (HttpStatusCode)(int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var status) && status is >= 100 and < 1000
                    ? status
                    : throw new HttpRequestException(HttpRequestError.InvalidResponse, $"the status '{AbortCause.Bound(value)}' is none"));
            }
            else if (!response.Headers.TryAddWithoutValidation(name, value))
            {
                response.Content.Headers.TryAddWithoutValidation(name, value);
            }
        }

        return response;
    }

    private static void AddTrailers(HttpResponseMessage response, CallConnection connection)
    {
        foreach (var (name, value) in connection.TakeFields())
        {
            response.TrailingHeaders.TryAddWithoutValidation(name, value);
        }
    }
}
