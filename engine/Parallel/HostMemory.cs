using System.Globalization;
using Distributed.Collectives.Hosting;

namespace Distributed.Engine.Parallel;

/// <summary>The memory that this machine, or the container that this process is in, has left.</summary>
public static class HostMemory
{
    private const int MaxControlGroupDepth = 32;

    /// <summary>Bytes that could be allocated now without pushing anything out: the page cache, which gives way, counts as free.</summary>
    public static long FreeByteCount => Platform.UsesLinux && OfLinux("/proc", "/sys/fs/cgroup") is { } free ? free : OfRuntime();

    /// <summary>As Linux tells it: available memory, or what is left of a control group's limit where that is less.</summary>
    /// <param name="proc">Where proc is mounted.</param>
    /// <param name="controlGroups">Where the control groups are.</param>
    /// <returns>Bytes; <see langword="null"/> where the files do not say.</returns>
    internal static long? OfLinux(string proc, string controlGroups)
    {
        var available = Lines(Path.Combine(proc, "meminfo")).Select(line => Field(line, "MemAvailable:")).FirstOrDefault(value => value is not null);
        if (available is null)
        {
            return null;
        }

        var least = available.Value << 10; // kB
        foreach (var line in Lines(Path.Combine(proc, "self", "cgroup")))
        {
            // "0::/path" of version 2, "9:memory:/path" of version 1.
            var parts = line.Split(':', 3);
            var isMemory = parts.Length == 3 && parts[1].Split(',').Contains("memory");
            if (parts.Length == 3 && (isMemory || parts[0] == "0"))
            {
                least = Math.Min(least, LeftOf(isMemory ? Path.Combine(controlGroups, "memory") : controlGroups, parts[2], isMemory));
            }
        }

        return Math.Max(0, least);
    }

    /// <summary>As the runtime tells it, which knows the load at its last collection.</summary>
    internal static long OfRuntime()
    {
        GC.Collect(0, GCCollectionMode.Forced, blocking: true);
        var memory = GC.GetGCMemoryInfo();
        return Math.Max(0, memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes);
    }

    // The group's own limit and those of the groups that it is in; in a container the path may be one that only the host knows, and the root is the container's.
    private static long LeftOf(string root, string path, bool isVersion1)
    {
        var least = long.MaxValue;
        var folder = path.Trim('/');
        for (var depth = 0; depth < MaxControlGroupDepth; depth++)
        {
            var full = Path.Combine(root, folder);
            var limit = Number(Path.Combine(full, isVersion1 ? "memory.limit_in_bytes" : "memory.max"));
            var used = Number(Path.Combine(full, isVersion1 ? "memory.usage_in_bytes" : "memory.current"));
            if (limit is { } bytes && used is { } current)
            {
                var name = isVersion1 ? "total_inactive_file" : "inactive_file"; // page cache that gives way first
                var cached = Lines(Path.Combine(full, "memory.stat")).Select(line => Field(line, name)).FirstOrDefault(value => value is not null) ?? 0;
                least = Math.Min(least, Math.Max(0, bytes - Math.Max(0, current - cached)));
            }

            if (folder.Length == 0)
            {
                break;
            }

            folder = Path.GetDirectoryName(folder) ?? "";
        }

        return least;
    }

    // "max", no limit, is no number.
    private static long? Number(string file)
        => Lines(file).FirstOrDefault() is { } line && long.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static long? Field(string line, string name)
        => line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var first, var value, ..] && first == name
            && long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : null;

    private static string[] Lines(string file)
    {
        try
        {
            return File.ReadAllLines(file);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
