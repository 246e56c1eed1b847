using Grpc.Core;

namespace Grpc.Wire;

/// <summary>Metadata as HTTP headers: text as it is, bytes as base64.</summary>
internal static class MetadataCoding
{
    /// <summary>True for the headers that carry the call itself; they are neither shown as metadata nor accepted from it.</summary>
    public static bool IsReserved(string key) => key switch
    {
        GrpcProtocol.ContentTypeHeader or "te" or "host" or "connection" or "transfer-encoding" or "content-length" or "accept-encoding"
            or GrpcProtocol.TimeoutHeader or GrpcProtocol.EncodingHeader or GrpcProtocol.AcceptEncodingHeader
            or GrpcProtocol.StatusTrailer or GrpcProtocol.MessageTrailer => true,
        _ => false,
    };

    /// <summary>Adds what one header line holds; a line of a binary key may hold several values, separated by commas.</summary>
    /// <param name="target">The metadata to add to.</param>
    /// <param name="name">The header's name, in any case.</param>
    /// <param name="value">The header's value.</param>
    /// <exception cref="RpcException">INTERNAL: a binary value is not base64.</exception>
    public static void Decode(Metadata target, string name, string value)
    {
        var key = name.ToLowerInvariant();
        if (IsReserved(key) || !Metadata.Entry.IsKey(key))
        {
            return; // HTTP allows more characters in names than gRPC; a proxy may add such a header
        }

        if (!key.EndsWith(Metadata.BinaryHeaderSuffix, StringComparison.Ordinal))
        {
            target.Add(key, value);
            return;
        }

        foreach (var part in value.Split(',', StringSplitOptions.TrimEntries))
        {
            target.Add(key, DecodeBase64(key, part));
        }
    }

    /// <summary>The header value of an entry.</summary>
    /// <exception cref="RpcException">INTERNAL: the key is reserved, or the text is not printable ASCII.</exception>
    public static string Encode(Metadata.Entry entry)
    {
        if (IsReserved(entry.Key))
        {
            throw Refuse($"Metadata key '{entry.Key}' is reserved for the protocol; choose another one.");
        }

        if (entry.IsBinary)
        {
            return Convert.ToBase64String(entry.RawBytes).TrimEnd('='); // senders should not pad, receivers must accept both
        }

        return entry.Value.AsSpan().ContainsAnyExceptInRange(' ', '~')
            ? throw Refuse($"The value of metadata '{entry.Key}' is not printable ASCII; use a key that ends in '-bin' and bytes.")
            : entry.Value;
    }

    private static byte[] DecodeBase64(string key, string text)
    {
        var padded = text.TrimEnd('=');
        padded = padded.PadRight((padded.Length + 3) / 4 * 4, '=');
        try
        {
            return Convert.FromBase64String(padded);
        }
        catch (FormatException)
        {
            throw Refuse($"The value of metadata '{key}' is not base64.");
        }
    }

    private static RpcException Refuse(string reason) => new(new Status(StatusCode.Internal, reason));
}
