using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>Where a <see cref="CallServer"/> listens, and what it takes.</summary>
/// <param name="UnixSocketPath">A socket in a directory that only this user can enter; callers of other users are cut off besides.</param>
/// <param name="TcpAddress">The one address of a port that the system chooses, if there is to be one.</param>
/// <param name="Tls">What protects that port.</param>
/// <param name="MaxConnectionCount">How many connections there may be at once.</param>
internal sealed record CallServerOptions(string UnixSocketPath, IPAddress? TcpAddress, SslServerAuthenticationOptions? Tls, int MaxConnectionCount);

/// <summary>
/// Takes HTTP/2 calls, each on a connection of its own, which it ends with: <see cref="CallHandler"/>'s other side, for any client that speaks HTTP/2.
/// </summary>
internal sealed class CallServer(CallServerOptions options) : IServer
{
    // For TLS and the header fields of the call; what the call itself may take is its handler's to say.
    private static readonly TimeSpan BeginLimit = TimeSpan.FromSeconds(10);

    // For the caller to read the end of a call before its connection is closed.
    private static readonly TimeSpan LeaveLimit = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _stop = new();
    private readonly List<Socket> _listeners = [];
    private readonly HashSet<SocketStream> _open = []; // guarded by itself
    private bool _isStopped;                           // guarded by _open

    /// <inheritdoc/>
    public IFeatureCollection Features { get; } = new FeatureCollection();

    /// <summary>The port that the system chose; 0 where there is none.</summary>
    public int Port { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="IOException">An endpoint is taken.</exception>
    public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
        where TContext : notnull
    {
        try
        {
            Listen(new UnixDomainSocketEndPoint(options.UnixSocketPath), isTls: false, application);
            if (options.TcpAddress is { } address)
            {
                var listener = Listen(new IPEndPoint(address, 0), isTls: true, application);
                Port = ((IPEndPoint)listener.LocalEndPoint!).Port; // it is bound
            }
        }
        catch (SocketException exception)
        {
            Dispose();
            throw new IOException(exception.Message, exception);
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <summary>Closes the endpoints, whose socket file disappears, and every connection.</summary>
    public void Dispose()
    {
        SocketStream[] open;
        lock (_open)
        {
            if (_isStopped)
            {
                return;
            }

            _isStopped = true;
            open = [.. _open];
        }

        _stop.Cancel();
        var hadListener = _listeners.Count > 0;
        _listeners.ForEach(listener => listener.Dispose());
        Array.ForEach(open, connection => connection.Dispose());
        if (hadListener)
        {
            File.Delete(options.UnixSocketPath);
        }
    }

    private Socket Listen<TContext>(EndPoint place, bool isTls, IHttpApplication<TContext> application)
        where TContext : notnull
    {
        var listener = new Socket(place.AddressFamily, SocketType.Stream, isTls ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            listener.Bind(place);
            listener.Listen();
        }
        catch
        {
            listener.Dispose();
            throw;
        }

        _listeners.Add(listener);
        _ = AcceptAsync(listener, isTls, application);
        return listener;
    }

    private async Task AcceptAsync<TContext>(Socket listener, bool isTls, IHttpApplication<TContext> application)
        where TContext : notnull
    {
        while (true)
        {
            try
            {
                var socket = await listener.AcceptAsync(_stop.Token);
                _ = Task.Run(() => ServeAsync(socket, isTls, application));
            }
            catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // The caller was gone before it was taken, or the process has no socket left for it.
                await Task.Delay(TimeSpan.FromMilliseconds(10));
            }
        }
    }

    private bool TryKeep(SocketStream connection)
    {
        lock (_open)
        {
            return !_isStopped && _open.Count < options.MaxConnectionCount && _open.Add(connection);
        }
    }

    private void Forget(SocketStream? connection)
    {
        if (connection is null)
        {
            return;
        }

        lock (_open)
        {
            _open.Remove(connection);
        }

        connection.Dispose();
    }

    private async Task ServeAsync<TContext>(Socket accepted, bool isTls, IHttpApplication<TContext> application)
        where TContext : notnull
    {
        SocketStream? socket = null;
        SslStream? tls = null;
        try
        {
            socket = new SocketStream(accepted);
            if (!TryKeep(socket) || (!isTls && !UnixPeer.IsOwner(accepted)))
            {
                return;
            }

            if (isTls)
            {
                TlsChannel.Tune(accepted);
            }
            else
            {
                UnixSocketAddress.Tune(accepted);
            }

            using var begin = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            begin.CancelAfter(BeginLimit);
            if (isTls)
            {
                tls = new SslStream(socket);
                await tls.AuthenticateAsServerAsync(options.Tls!, begin.Token); // a port has some
            }

            using var connection = new CallConnection(socket, tls, isServer: true);
            await connection.BeginAsync(begin.Token);
            await connection.ReadHeadersAsync(begin.Token);
            await ServeAsync(connection, tls, application);
            using var leave = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            leave.CancelAfter(LeaveLimit);
            await connection.LeaveAsync(leave.Token);
        }
        catch (Exception)
        {
            // Whatever a caller does, it ends its own connection and nothing else.
        }
        finally
        {
            tls?.Dispose();
            Forget(socket);
            accepted.Dispose();
        }
    }

    private static async Task ServeAsync<TContext>(CallConnection connection, SslStream? tls, IHttpApplication<TContext> application)
        where TContext : notnull
    {
        using var exchange = new HttpExchange(connection, tls);
        var context = application.CreateContext(exchange.Features);
        Exception? failure = null;
        try
        {
            await application.ProcessRequestAsync(context);
            await exchange.EndAsync();
        }
        catch (Exception exception)
        {
            failure = exception;
            throw;
        }
        finally
        {
            application.DisposeContext(context, failure);
        }
    }
}
