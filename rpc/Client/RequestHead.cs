using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>Writes what a request says outside its messages.</summary>
internal static class RequestHead
{
    private const string UserAgent = "grpc-dotnet-distributed/1.0";

    /// <exception cref="RpcException">INTERNAL: metadata that cannot be a header.</exception>
    public static HttpRequestMessage Create(Uri server, string method, CallOptions options, HttpContent body)
    {
        body.Headers.ContentType = new MediaTypeHeaderValue(GrpcProtocol.ContentType);
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server, method))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = body,
        };
        Add("te", "trailers");
        Add(GrpcProtocol.AcceptEncodingHeader, GrpcProtocol.IdentityEncoding);
        if (options.Deadline is { } deadline && deadline != DateTime.MaxValue)
        {
            Add(GrpcProtocol.TimeoutHeader, TimeoutCoding.Encode(deadline - DateTime.UtcNow));
        }

        foreach (var entry in options.Headers ?? Metadata.Empty)
        {
            Add(entry.Key, MetadataCoding.Encode(entry));
        }

        if (!request.Headers.NonValidated.Contains(GrpcProtocol.UserAgentHeader))
        {
            Add(GrpcProtocol.UserAgentHeader, UserAgent);
        }

        return request;

        void Add(string name, string value) => request.Headers.TryAddWithoutValidation(name, value);
    }
}
