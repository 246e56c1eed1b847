using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>
/// A way to one server. Creating it connects to nothing; connections are made and kept by the HTTP handler as calls need them. Create one
/// a server and share it: it and the clients made from it can be used by all threads.
/// </summary>
public sealed class GrpcChannel : ChannelBase, IDisposable
{
    private readonly CancellationTokenSource _closing = new();
    private readonly bool _ownsHandler;
    private int _disposed;

    private GrpcChannel(Uri address, GrpcChannelOptions options)
        : base(address.Authority)
    {
        AddressText = address.GetLeftPart(UriPartial.Authority);
        Address = new Uri(AddressText);
        MaxSendMessageSize = options.MaxSendMessageSize;
        MaxReceiveMessageSize = options.MaxReceiveMessageSize;
        _ownsHandler = options.HttpHandler is null || options.DisposeHttpClient;
        Transport = new HttpMessageInvoker(options.HttpHandler ?? CreateHandler(), _ownsHandler);
        Closing = _closing.Token;
    }

    internal Uri Address { get; }

    /// <summary>The address without a path, for errors.</summary>
    internal string AddressText { get; }

    internal HttpMessageInvoker Transport { get; }

    internal int? MaxSendMessageSize { get; }

    internal int? MaxReceiveMessageSize { get; }

    /// <summary>Cancelled when the channel is disposed.</summary>
    internal CancellationToken Closing { get; }

    public static GrpcChannel ForAddress(string address) => ForAddress(address, new GrpcChannelOptions());

    public static GrpcChannel ForAddress(string address, GrpcChannelOptions channelOptions) => ForAddress(new Uri(address), channelOptions);

    public static GrpcChannel ForAddress(Uri address) => ForAddress(address, new GrpcChannelOptions());

    /// <summary>Creates a channel.</summary>
    /// <param name="address">Such as <c>https://host:port</c>, or <c>http://host:port</c> for cleartext HTTP/2. A path is ignored.</param>
    /// <param name="channelOptions">The settings.</param>
    /// <exception cref="ArgumentException">The address has another scheme, or one that contradicts the credentials.</exception>
    public static GrpcChannel ForAddress(Uri address, GrpcChannelOptions channelOptions)
    {
        ArgumentNullException.ThrowIfNull(address);
        ArgumentNullException.ThrowIfNull(channelOptions);
        if (!address.IsAbsoluteUri || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
        {
            throw new ArgumentException(
                $"A gRPC channel needs an address of the form http://host:port or https://host:port, not '{address}'.", nameof(address));
        }

        if (channelOptions.Credentials is { } credentials && credentials.Scheme != address.Scheme)
        {
            throw new ArgumentException(
                $"The credentials are for {credentials.Scheme} but the address '{address}' is not; make the two agree.", nameof(address));
        }

        return new GrpcChannel(address, channelOptions);
    }

    /// <exception cref="ObjectDisposedException">The channel is disposed.</exception>
    public override CallInvoker CreateCallInvoker()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        return new HttpCallInvoker(this);
    }

    /// <summary>Ends the calls that still run, as cancelled, and closes the connections where the handler is the channel's.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _closing.Cancel(); // only calls register, and their callbacks do not throw
            Transport.Dispose();
        }
    }

    protected override Task ShutdownAsyncCore()
    {
        Dispose();
        return Task.CompletedTask;
    }

    private static SocketsHttpHandler CreateHandler() => new()
    {
        EnableMultipleHttp2Connections = true,
        UseProxy = false,
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(20),
        PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
        // A peer that is gone without closing its connection fails the call within 40 s instead of never.
        KeepAlivePingDelay = TimeSpan.FromSeconds(20),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(20),
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
    };
}
