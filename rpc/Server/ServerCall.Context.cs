using System.Net;
using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;

namespace Grpc.AspNetCore.Server;

/// <content>What the handler sees.</content>
internal sealed partial class ServerCall
{
    private Metadata? _requestHeaders;
    private Metadata? _trailers;
    private Dictionary<object, object>? _userState;

    public override string Method { get; }

    public override string Host => HttpContext.Request.Host.Value ?? "";

    public override string Peer => HttpContext.Connection.RemoteIpAddress switch
    {
        null => "unix:",
        { IsIPv4MappedToIPv6: true } mapped => $"ipv4:{new IPEndPoint(mapped.MapToIPv4(), HttpContext.Connection.RemotePort)}",
        var address => $"{(address.GetAddressBytes().Length == 4 ? "ipv4" : "ipv6")}:{new IPEndPoint(address, HttpContext.Connection.RemotePort)}",
    };

    public override DateTime Deadline => _deadline;

    public override Metadata RequestHeaders => _requestHeaders ??= ReadRequestHeaders(HttpContext.Request.Headers);

    public override CancellationToken CancellationToken => _cancellationToken;

    public override Metadata ResponseTrailers => _trailers ??= [];

    public override Status Status { get; set; } = Status.DefaultSuccess;

    public override WriteOptions? WriteOptions { get; set; }

    public override IDictionary<object, object> UserState => _userState ??= [];

    public override Task WriteResponseHeadersAsync(Metadata responseHeaders)
    {
        ArgumentNullException.ThrowIfNull(responseHeaders);
        return _response.WriteHeadersAsync(responseHeaders);
    }

    private static Metadata ReadRequestHeaders(IHeaderDictionary headers)
    {
        var metadata = new Metadata();
        foreach (var (name, values) in headers)
        {
            foreach (var value in values)
            {
                MetadataCoding.Decode(metadata, name, value ?? "");
            }
        }

        return metadata;
    }
}
