using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>Settings of a channel; they are read once, when it is created.</summary>
public sealed class GrpcChannelOptions
{
    /// <summary>TLS or cleartext. Null, the default, follows the scheme of the address; anything else must agree with it.</summary>
    public ChannelCredentials? Credentials { get; set; }

    /// <summary>The largest message that is sent, in bytes. Null, the default, sets no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>The largest message that is accepted, in bytes. The default is 4 MiB; null sets no limit.</summary>
    public int? MaxReceiveMessageSize { get; set; } = GrpcProtocol.DefaultMaxReceiveMessageSize;

    /// <summary>
    /// What sends the requests: a <see cref="SocketsHttpHandler"/> for certificates, Unix sockets (ConnectCallback), window sizes and
    /// keep-alive pings. Null, the default, lets the channel create one. A server takes a limited number of calls at once on a connection
    /// (Kestrel 100); set EnableMultipleHttp2Connections on a handler of your own to have more.
    /// </summary>
    public HttpMessageHandler? HttpHandler { get; set; }

    /// <summary>Whether disposing the channel disposes <see cref="HttpHandler"/>. The default is false. The channel's own handler always is.</summary>
    public bool DisposeHttpClient { get; set; }
}
