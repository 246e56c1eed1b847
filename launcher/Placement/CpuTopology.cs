using System.Globalization;
using System.Runtime.Versioning;

namespace Distributed.Launcher.Placement;

/// <summary>One logical CPU and what it shares with others.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Core">The first CPU of its physical core.</param>
/// <param name="Socket">Its package.</param>
/// <param name="Node">Its NUMA node.</param>
/// <param name="Complex">The first CPU of those that share its last cache.</param>
internal readonly record struct LogicalCpu(int Id, int Core, int Socket, int Node, int Complex);

/// <summary>The CPUs that this process may run on, as Linux describes them in /sys/devices/system.</summary>
/// <param name="Cpus">[CPU], by their numbers.</param>
/// <param name="GpuNodes">[GPU], the NUMA node of each, by their addresses on the bus; -1 where it is not known.</param>
internal sealed record CpuTopology(IReadOnlyList<LogicalCpu> Cpus, IReadOnlyList<int> GpuNodes)
{
    /// <summary>Of this machine and process.</summary>
    [SupportedOSPlatform("linux")]
    public static CpuTopology Read()
    {
        const string Allowed = "Cpus_allowed_list:";
        var list = File.ReadLines("/proc/self/status").First(line => line.StartsWith(Allowed, StringComparison.Ordinal))[Allowed.Length..];
        return Read("/sys", "/proc/driver/nvidia/gpus", ParseList(list));
    }

    /// <summary>From a folder of the form of /sys.</summary>
    internal static CpuTopology Read(string system, string gpus, IReadOnlyList<int> allowed)
    {
        var nodes = new Dictionary<int, int>();
        foreach (var folder in Folders(Path.Combine(system, "devices/system/node"), "node"))
        {
            foreach (var cpu in ParseList(Text(folder.Path, "cpulist") ?? ""))
            {
                nodes[cpu] = folder.Number;
            }
        }

        var cpus = allowed.Order().Select(id =>
        {
            var folder = Path.Combine(system, string.Create(CultureInfo.InvariantCulture, $"devices/system/cpu/cpu{id}"));
            return new LogicalCpu(
                id,
                First(Text(folder, "topology/thread_siblings_list"), id),
                Math.Max(0, Number(Text(folder, "topology/physical_package_id"), 0)),
                nodes.GetValueOrDefault(id),
                LastCache(folder, id));
        });
        return new CpuTopology([.. cpus], ReadGpuNodes(system, gpus));
    }

    /// <summary>Reads a list of the kernel's: 0-3,8.</summary>
    internal static IReadOnlyList<int> ParseList(string text)
    {
        var numbers = new List<int>();
        foreach (var range in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var ends = range.Split('-');
            var first = Number(ends[0], 0);
            var last = Number(ends[^1], first);
            for (var number = first; number <= last; number++)
            {
                numbers.Add(number);
            }
        }

        return numbers;
    }

    /// <summary>The first of the CPUs that share the cache of the highest level.</summary>
    private static int LastCache(string cpu, int id)
    {
        var caches = Folders(Path.Combine(cpu, "cache"), "index").Select(folder => (Level: Number(Text(folder.Path, "level"), 0), folder.Path)).ToArray();
        return caches.Length == 0 ? id : First(Text(caches.MaxBy(cache => cache.Level).Path, "shared_cpu_list"), id);
    }

    private static int[] ReadGpuNodes(string system, string gpus)
        => !Directory.Exists(gpus) ? []
            : [.. Directory.GetDirectories(gpus).Select(Path.GetFileName).Order(StringComparer.Ordinal)
                .Select(address => Number(Text(Path.Combine(system, "bus/pci/devices", address!), "numa_node"), -1))];

    private static IEnumerable<(int Number, string Path)> Folders(string parent, string prefix)
        => !Directory.Exists(parent) ? []
            : Directory.GetDirectories(parent, prefix + "*")
                .Select(path => (Number: Number(Path.GetFileName(path)[prefix.Length..], -1), path))
                .Where(folder => folder.Number >= 0)
                .Order();

    private static string? Text(string folder, string name)
    {
        try
        {
            return File.ReadAllText(Path.Combine(folder, name)).Trim();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static int First(string? list, int absent) => list is not null && ParseList(list) is [var first, ..] ? first : absent;

    private static int Number(string? text, int absent)
        => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : absent;
}
