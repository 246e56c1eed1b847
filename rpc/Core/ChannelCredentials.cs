namespace Grpc.Core;

/// <summary>Whether a channel uses TLS. The certificates themselves are the matter of the channel's HTTP handler.</summary>
public abstract class ChannelCredentials
{
    private protected ChannelCredentials()
    {
    }

    /// <summary>Cleartext HTTP/2, for addresses that begin with http.</summary>
    public static ChannelCredentials Insecure { get; } = new SchemeCredentials(Uri.UriSchemeHttp);

    /// <summary>TLS, for addresses that begin with https.</summary>
    public static ChannelCredentials SecureSsl { get; } = new SchemeCredentials(Uri.UriSchemeHttps);

    /// <summary>The scheme of the addresses that these credentials fit.</summary>
    internal abstract string Scheme { get; }

    private sealed class SchemeCredentials(string scheme) : ChannelCredentials
    {
        internal override string Scheme => scheme;
    }
}
