using System.Diagnostics;
using System.Globalization;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>
/// Several nodes on one machine: a network namespace each, joined by a bridge, with a host name of its own. Node n has the address
/// 10.x.y.(n + 1). Everything is removed at the end, by name.
/// </summary>
internal sealed class NodeWorld : IDisposable
{
    private static int _count;

    private readonly string _name;
    private readonly string _subnet;
    private readonly int _nodeCount;

    /// <param name="nodeCount">How many nodes.</param>
    public NodeWorld(int nodeCount)
    {
        var number = Interlocked.Increment(ref _count);
        var id = Environment.ProcessId % 100_000;
        _name = string.Create(CultureInfo.InvariantCulture, $"dr{id}x{number}");
        _subnet = string.Create(CultureInfo.InvariantCulture, $"10.{64 + (id % 128)}.{number % 256}");
        _nodeCount = nodeCount;
        Distrun.Environment["DISTRUN_JOB_SECRET_FILE"] = SecretFile();
        Ip($"netns add {_name}");
        Ip($"-n {_name} link add br0 type bridge");
        Ip($"-n {_name} link set br0 up");
        for (var node = 0; node < nodeCount; node++)
        {
            Ip($"netns add {Namespace(node)}");
            Ip($"link add e{node} netns {_name} type veth peer name eth0 netns {Namespace(node)}");
            Ip($"-n {_name} link set e{node} master br0 up");
            Ip($"-n {Namespace(node)} addr add {Address(node)}/24 dev eth0");
            Ip($"-n {Namespace(node)} link set eth0 up");
            Ip($"-n {Namespace(node)} link set lo up");
        }
    }

    /// <summary>Where the launches write and what they leave.</summary>
    public Distrun Distrun { get; } = new("ip");

    /// <summary>Why these tests cannot run here; <see langword="null"/> where they can.</summary>
    public static string? Missing
    {
        get
        {
            if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess)
            {
                return "Needs Linux and root, for network namespaces.";
            }

            if (Requirements.MissingProgram("ip", "unshare") is { } missing)
            {
                return missing;
            }

            using var probe = Process.Start(new ProcessStartInfo("unshare", ["-n", "-u", "true"]) { RedirectStandardError = true })!;
            probe.WaitForExit();
            return probe.ExitCode == 0 ? null : "Network namespaces may not be made here.";
        }
    }

    /// <summary>The address of a node.</summary>
    public string Address(int node) => string.Create(CultureInfo.InvariantCulture, $"{_subnet}.{node + 1}");

    /// <summary>Starts a launcher on a node, whose host name is <paramref name="hostName"/>.</summary>
    public Process Start(int node, string hostName, params string[] arguments)
    {
        var launcher = Path.Combine(Distrun.Folder, "distrun");
        return Distrun.Start(["netns", "exec", Namespace(node), "unshare", "-u", "sh", "-c", $"hostname {hostName}; exec \"$@\"", "sh", launcher, .. arguments]);
    }

    /// <summary>Pulls the cable of a node, or puts it in again.</summary>
    public void SetCable(int node, bool isIn) => Ip($"-n {_name} link set e{node} {(isIn ? "up" : "down")}");

    public void Dispose()
    {
        Distrun.Dispose();
        for (var node = 0; node < _nodeCount; node++)
        {
            Ip($"netns del {Namespace(node)}");
        }

        Ip($"netns del {_name}");
    }

    private string Namespace(int node) => string.Create(CultureInfo.InvariantCulture, $"{_name}n{node}");

    private string SecretFile()
    {
        var path = Distrun.Files["secret"];
        File.WriteAllText(path, Guid.NewGuid().ToString("N") + Guid.NewGuid().ToString("N"));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead);
        }

        return path;
    }

    private static void Ip(string arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("ip", arguments.Split(' ')) { RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"ip {arguments}: {error}");
        }
    }
}

/// <summary>A fact that needs several nodes.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class NodesFactAttribute : FactAttribute
{
    private static readonly string? Missing = NodeWorld.Missing;

    /// <param name="file">What it needs besides, if anything.</param>
    public NodesFactAttribute(string? file = null) => Skip = Missing ?? (file is null || File.Exists(file) ? null : $"Needs {file}.");
}
