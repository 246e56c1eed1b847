using System.Net;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// The names under which the server answers. A page of somebody else's can have its own name point to this machine and would then be of the same origin
/// as this server (DNS rebinding); the name stands in the Host header.
/// </summary>
/// <param name="address">Where the server listens.</param>
/// <param name="names">Names besides.</param>
internal sealed class AllowedHosts(IPAddress address, IReadOnlyList<string> names)
{
    /// <summary>Whether a request for this host is answered.</summary>
    public bool Contains(HostString host)
    {
        var name = host.Host.TrimEnd('.');
        return name.Length > 0
            && (names.Contains(name, StringComparer.OrdinalIgnoreCase)
                || name.Equals("localhost", StringComparison.OrdinalIgnoreCase)
                || (IPAddress.TryParse(name, out var given) && (IPAddress.IsLoopback(given) || !IPAddress.IsLoopback(address))) // no name: nothing to rebind
                || (names.Count == 0 && !IPAddress.IsLoopback(address))); // there a key is needed, which a foreign page has not
    }
}
