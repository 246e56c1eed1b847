using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Primitives;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// The keys that open the server, kept as hashes and compared in a time that tells nothing of them. A client sends one as
/// <c>Authorization: Bearer KEY</c>; a browser, which asks its user, as the password of <c>Basic</c>, with any name.
/// </summary>
internal sealed class ApiKeys
{
    private const string Bearer = "Bearer ";
    private const string Basic = "Basic ";

    private readonly byte[][] _hashes;

    private ApiKeys(byte[][] hashes) => _hashes = hashes;

    /// <summary>The number of keys; with none the server is open to all who reach it.</summary>
    public int Count => _hashes.Length;

    /// <summary>Takes keys, of which nothing but their hashes is kept.</summary>
    public static ApiKeys Of(IEnumerable<string> keys) => new([.. keys.Select(key => SHA256.HashData(Encoding.UTF8.GetBytes(key)))]);

    /// <summary>
    /// Who sends a request: a name of the key that tells nothing of it, empty where there are no keys; <see langword="null"/> without a key that opens the server.
    /// </summary>
    public string? ClientOf(StringValues authorization)
    {
        if (_hashes.Length == 0)
        {
            return "";
        }

        if (authorization is not [{ } header] || KeyIn(header) is not { } key)
        {
            return null;
        }

        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(key));
        var found = -1;
        for (var index = 0; index < _hashes.Length; index++) // all of them, whichever it is
        {
            found = CryptographicOperations.FixedTimeEquals(hash, _hashes[index]) ? index : found;
        }

        return found < 0 ? null : $"key{found + 1}";
    }

    private static string? KeyIn(string header)
    {
        if (header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase))
        {
            return header[Bearer.Length..].Trim();
        }

        if (!header.StartsWith(Basic, StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        var encoded = header[Basic.Length..].Trim();
        var bytes = new byte[encoded.Length];
        if (!Convert.TryFromBase64String(encoded, bytes, out var count))
        {
            return null;
        }

        var credentials = Encoding.UTF8.GetString(bytes, 0, count);
        var colon = credentials.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? null : credentials[(colon + 1)..];
    }
}
