using System.Globalization;
using Distributed.Collectives;
using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Rendezvous;

/// <summary>What --rdzv-conf says, checked; the names are torchrun's, and a few of our own.</summary>
internal sealed class RendezvousSettings
{
    private static readonly string[] Yes = ["1", "true", "t", "yes", "y"];
    private static readonly string[] No = ["0", "false", "f", "no", "n"];

    private readonly IReadOnlyDictionary<string, string> _values;

    /// <exception cref="RendezvousClosedException">A value is none of its setting's.</exception>
    public RendezvousSettings(IReadOnlyDictionary<string, string> values)
    {
        _values = values;
        var defaults = new RendezvousLimits();
        Limits = new RendezvousLimits
        {
            JoinTimeout = Seconds("join_timeout") ?? Seconds("timeout") ?? defaults.JoinTimeout,
            LastCallTimeout = Seconds("last_call_timeout") ?? defaults.LastCallTimeout,
            CloseTimeout = Seconds("close_timeout") ?? defaults.CloseTimeout,
            KeepAliveInterval = Seconds("keep_alive_interval") ?? defaults.KeepAliveInterval,
            KeepAliveMaxAttempt = (int)(Number("keep_alive_max_attempt", 1, 1000) ?? defaults.KeepAliveMaxAttempt),
            ExitBarrierTimeout = Seconds("exit_barrier_timeout") ?? defaults.ExitBarrierTimeout,
        };
        SecretFile = _values.GetValueOrDefault(JobKey.Setting);
        AllowsUnauthenticated = Flag(RunStoreOptions.UnauthenticatedSetting) ?? false;
        IsHost = Flag("is_host");
        NodeRank = (int?)Number("rank", 0, int.MaxValue);
    }

    public RendezvousLimits Limits { get; }

    public string? SecretFile { get; }

    public bool AllowsUnauthenticated { get; }

    public bool? IsHost { get; }

    public int? NodeRank { get; }

    /// <summary>How etcd is reached, by the settings of torch's etcd backend.</summary>
    public EtcdOptions Etcd(NodeOptions options)
    {
        var protocol = _values.GetValueOrDefault("protocol") ?? "http";
        return protocol is "http" or "https"
            ? new EtcdOptions
            {
                Host = options.EndpointHost,
                Port = options.EndpointPort,
                UsesTls = protocol == "https",
                AuthorityFile = _values.GetValueOrDefault("cacert"),
                CertificateFile = _values.GetValueOrDefault("cert"),
                KeyFile = _values.GetValueOrDefault("key"),
            }
            : throw Wrong("protocol", protocol, "is neither http nor https");
    }

    private TimeSpan? Seconds(string name) => Number(name, 0.01, 10_000_000) is { } seconds ? TimeSpan.FromSeconds(seconds) : null;

    private double? Number(string name, double minimum, double maximum)
    {
        if (!_values.TryGetValue(name, out var text))
        {
            return null;
        }

        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number >= minimum && number <= maximum
            ? number
            : throw Wrong(name, text, FormattableString.Invariant($"is not a number from {minimum} to {maximum}"));
    }

    private bool? Flag(string name)
    {
        if (!_values.TryGetValue(name, out var text))
        {
            return null;
        }

        return Yes.Contains(text, StringComparer.OrdinalIgnoreCase) ? true
            : No.Contains(text, StringComparer.OrdinalIgnoreCase) ? false
            : throw Wrong(name, text, "is neither true nor false");
    }

    private static RendezvousClosedException Wrong(string name, string text, string rule)
        => new($"--rdzv-conf {name}={text} {rule}; correct it, or leave it out.");
}
