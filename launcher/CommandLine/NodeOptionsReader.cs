using System.Net;

namespace Distributed.Launcher.CommandLine;

/// <summary>Reads the options that say which nodes a job has and how they meet.</summary>
/// <param name="values">The options.</param>
/// <param name="notes">Receives what is not wrong and yet worth a sentence.</param>
internal sealed class NodeOptionsReader(OptionValues values, List<string> notes)
{
    private const int MaxNodeCount = 100_000;
    private const int DefaultStorePort = 29_400;
    private const int DefaultStaticPort = 29_500;
    private const int DefaultEtcdPort = 2379;

    private static readonly string[] PositiveSeconds =
        ["timeout", "join_timeout", "last_call_timeout", "close_timeout", "read_timeout", "keep_alive_interval"];

    /// <summary>Reads them; what is wrong has its default in the result.</summary>
    /// <param name="standalone">Whether --standalone overrides them all.</param>
    public NodeOptions Read(bool standalone)
    {
        var (minimum, maximum) = NodeCounts();
        var backend = Backend();
        var (host, port) = Endpoint(backend, maximum);
        var nodeRank = values.Text(LauncherOption.NodeRank) is null
            ? (int?)null : values.Number(LauncherOption.NodeRank, 0, 0, Math.Max(0, maximum - 1));
        var configuration = Configuration();
        if (values.Text(LauncherOption.RdzvId) is "")
        {
            values.Report($"{values.Source(LauncherOption.RdzvId)} is empty; write a name for the run, or leave the option out.");
        }

        return new NodeOptions
        {
            MinNodes = standalone ? 1 : minimum,
            MaxNodes = standalone ? 1 : maximum,
            NodeRank = standalone ? null : nodeRank,
            Backend = backend,
            EndpointHost = standalone ? "localhost" : host,
            EndpointPort = standalone ? 0 : port,
            Configuration = configuration,
            LocalAddress = values.Text(LauncherOption.LocalAddr),
        };
    }

    /// <summary>host, host:port, [v6] or [v6]:port.</summary>
    /// <returns>The host and the port, <see langword="null"/> where there is none; or why it is neither.</returns>
    internal static (string Host, int? Port, string? Problem) ParseEndpoint(string text)
    {
        var host = text;
        string? portText = null;
        if (text.StartsWith('['))
        {
            var end = text.IndexOf(']', StringComparison.Ordinal);
            host = end < 0 ? "" : text[1..end];
            var rest = end < 0 ? "" : text[(end + 1)..];
            portText = rest.StartsWith(':') ? rest[1..] : null;
            if (!IPAddress.TryParse(host, out _) || (rest.Length > 0 && portText is null))
            {
                return ("", null, "has no IPv6 address and port of the form [address]:port");
            }
        }
        else if (text.Count(character => character == ':') == 1)
        {
            var colon = text.IndexOf(':', StringComparison.Ordinal);
            (host, portText) = (text[..colon], text[(colon + 1)..]);
        }

        if (portText is not null && !(OptionValues.TryParse(portText, out var number) && number <= ushort.MaxValue))
        {
            return ("", null, $"has the port {portText}, which is not a number from 0 to 65535");
        }

        return IPAddress.TryParse(host, out _) || IsHostName(host)
            ? (host, portText is null ? null : int.Parse(portText, System.Globalization.CultureInfo.InvariantCulture), null)
            : ("", null, "has a host that is neither a name (letters, digits, - . _) nor an address");
    }

    private static bool IsHostName(string host)
        => host.Length is > 0 and <= 253 && !host.Contains("..", StringComparison.Ordinal)
            && host.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_');

    private (int Minimum, int Maximum) NodeCounts()
    {
        var text = values.Text(LauncherOption.Nnodes) ?? "1";
        var parts = text.Split(':');
        var numbers = parts.Select(part => OptionValues.TryParse(part, out var number) ? number : 0).ToArray();
        if (parts.Length <= 2 && numbers[0] >= 1 && numbers[^1] >= numbers[0] && numbers[^1] <= MaxNodeCount)
        {
            return (numbers[0], numbers[^1]);
        }

        values.Report($"{values.Source(LauncherOption.Nnodes)} {text} is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.");
        return (1, 1);
    }

    private RendezvousBackend Backend()
    {
        var option = LauncherOption.RdzvBackend;
        switch (values.Text(option)?.ToUpperInvariant())
        {
            case null or "STATIC":
                return RendezvousBackend.Static;
            case "C10D":
                return RendezvousBackend.C10d;
            case "ETCD":
                return RendezvousBackend.Etcd;
            case "ETCD-V2":
                values.Report($"{values.Source(option)} etcd-v2: the v2 API is gone from etcd 3.6; write etcd, which speaks v3.");
                return RendezvousBackend.Etcd;
            case var other:
                values.Report($"{values.Source(option)} {other.ToLowerInvariant()} is none of static, c10d, etcd; choose one of them.");
                return RendezvousBackend.Static;
        }
    }

    /// <summary>The endpoint, or where torchrun takes it from when it is not given.</summary>
    private (string Host, int Port) Endpoint(RendezvousBackend backend, int maximum)
    {
        var option = LauncherOption.RdzvEndpoint;
        var masterAddress = values.Text(LauncherOption.MasterAddr);
        var masterPort = values.Number(LauncherOption.MasterPort, 0, 0, ushort.MaxValue);
        if (values.Text(option) is not { } text)
        {
            if (backend == RendezvousBackend.Static)
            {
                return (masterAddress ?? "127.0.0.1", masterPort > 0 || maximum == 1 ? masterPort : DefaultStaticPort);
            }

            if (masterAddress is not null && maximum > 1)
            {
                notes.Add($"--master-addr {masterAddress} is for the static backend; with {BackendName(backend)} write --rdzv-endpoint.");
            }

            return ("localhost", DefaultPort(backend));
        }

        var (host, port, problem) = ParseEndpoint(text);
        if (problem is not null)
        {
            values.Report($"{values.Source(option)} {text} {problem}; write host:port.");
        }
        else if (backend == RendezvousBackend.Static && port is null && masterPort == 0)
        {
            values.Report($"{values.Source(option)} {text} has no port, which the static backend needs; write {text}:{DefaultStaticPort}, or add --master-port.");
        }

        return (host, port ?? (backend == RendezvousBackend.Static ? masterPort : DefaultPort(backend)));
    }

    private static int DefaultPort(RendezvousBackend backend) => backend == RendezvousBackend.Etcd ? DefaultEtcdPort : DefaultStorePort;

    private static string BackendName(RendezvousBackend backend) => backend == RendezvousBackend.Etcd ? "etcd" : "c10d";

    private Dictionary<string, string> Configuration()
    {
        var option = LauncherOption.RdzvConf;
        var configuration = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in (values.Text(option) ?? "").Split(',', StringSplitOptions.TrimEntries))
        {
            var parts = pair.Split('=', 2, StringSplitOptions.TrimEntries);
            if (parts.Length == 2 && parts[0].Length > 0 && parts[1].Length > 0)
            {
                configuration[parts[0]] = parts[1];
                CheckSetting(parts[0], parts[1]);
            }
            else if (pair.Length > 0)
            {
                values.Report($"{values.Source(option)} {pair} is not of the form name=value; write join_timeout=600, say.");
            }
        }

        return configuration;
    }

    private void CheckSetting(string name, string value)
    {
        var problem = PositiveSeconds.Contains(name) && !(OptionValues.TryParseSeconds(value, out var seconds) && seconds > 0)
                ? "is not a number of seconds above 0"
            : name == "store_type" && value != "tcp" ? "is not tcp, the one kind of store there is"
            : name == "is_host" && value.ToUpperInvariant() is not ("1" or "0" or "TRUE" or "FALSE" or "T" or "F" or "YES" or "NO" or "Y" or "N")
                ? "is neither true nor false"
            : name == "rank" && !OptionValues.TryParse(value, out _) ? "is not a whole number from 0"
            : null;
        if (problem is not null)
        {
            values.Report($"{values.Source(LauncherOption.RdzvConf)} {name}={value} {problem}; correct it, or leave it out.");
        }
    }
}
