using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>Reads what a response says outside its messages: headers, status and trailers.</summary>
internal static class ResponseHead
{
    /// <summary>Why the body of this response cannot be read as gRPC, or null where it can.</summary>
    public static Status? Refusal(HttpResponseMessage response)
    {
        var contentType = response.Content.Headers.ContentType?.ToString();
        if (response.StatusCode != HttpStatusCode.OK || !GrpcProtocol.IsGrpc(contentType))
        {
            return new Status(
                StatusMapping.FromHttpStatus(response.StatusCode),
                $"the server answered HTTP {(int)response.StatusCode} with content type '{contentType ?? "none"}', which is not gRPC");
        }

        var encoding = Value(response.Headers, GrpcProtocol.EncodingHeader);
        return GrpcProtocol.IsIdentity(encoding)
            ? null
            : new Status(StatusCode.Internal, $"the server encodes its messages with '{encoding}', but was told that only identity is accepted");
    }

    /// <summary>The status in trailers, or in the headers of a response that has nothing else.</summary>
    public static bool TryReadStatus(HttpHeaders headers, out Status status)
    {
        var number = Value(headers, GrpcProtocol.StatusTrailer);
        if (number is null)
        {
            status = default;
            return false;
        }

        var known = int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var code) && Enum.IsDefined((StatusCode)code);
        var message = PercentCoding.Decode(Value(headers, GrpcProtocol.MessageTrailer) ?? "");
        status = known
            ? new Status((StatusCode)code, message)
            : new Status(StatusCode.Unknown, $"grpc-status {number}: {message}");
        return true;
    }

    public static Metadata ReadMetadata(HttpHeaders headers)
    {
        var metadata = new Metadata();
        foreach (var (name, values) in headers.NonValidated)
        {
            foreach (var value in values)
            {
                MetadataCoding.Decode(metadata, name, value);
            }
        }

        return metadata;
    }

    private static string? Value(HttpHeaders headers, string name)
        => headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : null;
}
