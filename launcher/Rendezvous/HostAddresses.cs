using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Distributed.Collectives;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Rendezvous;

/// <summary>What this machine knows of addresses. Names are looked up forwards, as the user wrote them, and never addresses backwards.</summary>
internal static class HostAddresses
{
    private static readonly TimeSpan LookUpLimit = TimeSpan.FromSeconds(5);

    /// <summary>The addresses of a host; none where it cannot be found, which may change: a cluster's names come with its nodes.</summary>
    public static async Task<IPAddress[]> LookUpAsync(string host, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(host, out var literal))
        {
            return [literal];
        }

        try
        {
            return await Dns.GetHostAddressesAsync(host, cancellationToken).WaitAsync(LookUpLimit, cancellationToken);
        }
        catch (Exception exception) when (exception is SocketException or TimeoutException)
        {
            return [];
        }
    }

    /// <summary>
    /// Whether the endpoint's host is this machine: localhost or a loopback address, this machine's name, or an address of one of its
    /// interfaces (torch's _matches_machine_hostname, without its reverse look-ups).
    /// </summary>
    public static bool IsOwn(string host, IReadOnlyCollection<IPAddress> addresses)
        => IsLoopback(host, addresses)
            || string.Equals(host, HostName.Get(), StringComparison.OrdinalIgnoreCase)
            || addresses.Intersect(OfThisMachine()).Any();

    /// <summary>Whether nobody outside this machine can mean it.</summary>
    public static bool IsLoopback(string host, IReadOnlyCollection<IPAddress> addresses)
        => host == "localhost" || (addresses.Count > 0 && addresses.All(IPAddress.IsLoopback) && IPAddress.TryParse(host, out _));

    /// <summary>
    /// Where the owner of an endpoint listens: on the endpoint's address, where it is one of this machine's. A name that this machine maps
    /// to its loopback (127.0.1.1 is customary), or an address that is translated on the way here, leaves all interfaces.
    /// </summary>
    public static IPAddress ToListenOn(string host, IReadOnlyCollection<IPAddress> addresses)
    {
        if (IsLoopback(host, addresses))
        {
            return addresses.FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork) ?? IPAddress.IPv6Loopback;
        }

        return addresses.FirstOrDefault(address => !IPAddress.IsLoopback(address) && OfThisMachine().Contains(address))
            ?? (Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any);
    }

    /// <summary>This machine's address on the interface that leads to <paramref name="target"/>.</summary>
    /// <exception cref="RendezvousConnectionException">None does.</exception>
    public static string Towards(IPAddress target)
    {
        try
        {
            // Connecting a datagram socket sends nothing; it asks the system for a route.
            using var probe = new Socket(target.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            probe.Connect(target, port: 9);
            return ((IPEndPoint)probe.LocalEndPoint!).Address.ToString(); // a connected socket has one
        }
        catch (SocketException exception)
        {
            throw new RendezvousConnectionException(
                $"No interface of this machine leads to {target} ({exception.Message}); say how the others reach this node with --local-addr.", exception);
        }
    }

    /// <summary>
    /// Whether an address is of a network that the Internet does not route (RFC 1918, 6598, 3927, 4193, 4291), or of this machine alone.
    /// </summary>
    public static bool IsPrivate(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        if (IPAddress.IsLoopback(address) || address.IsIPv6LinkLocal || address.IsIPv6UniqueLocal)
        {
            return true;
        }

        return address.AddressFamily == AddressFamily.InterNetwork && address.GetAddressBytes() is [var first, var second, ..]
            && (first == 10
                || (first == 172 && second is >= 16 and <= 31)
                || (first == 192 && second == 168)
                || (first == 100 && second is >= 64 and <= 127)
                || (first == 169 && second == 254));
    }

    private static IEnumerable<IPAddress> OfThisMachine()
        => NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(network => network.GetIPProperties().UnicastAddresses)
            .Select(address => address.Address);
}
