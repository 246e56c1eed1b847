using Distributed.Engine.Diagnosis;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Parallel;

public sealed class HostMemoryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(null, null, 8L << 30)] // the machine's
    [InlineData("max", null, 8L << 30)]
    [InlineData("3221225472", null, (2L << 30) + 500)] // 3 GiB, of which 1 GiB is used, of which 500 bytes are cache
    [InlineData("max", "1073742324", 1000L)] // the group around it is tighter
    [InlineData("1000", null, 0L)] // beyond its limit
    public void OfLinux_ControlGroups_LimitWhatTheMachineHas(string? own, string? outer, long expected)
    {
        Write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n");
        Write("proc/self/cgroup", "0::/outer/own\n");
        Group("outer/own", own);
        Group("outer", outer);

        Assert.Equal(expected, HostMemory.OfLinux(_folder["proc"], _folder["groups"]));

        void Group(string path, string? limit)
        {
            if (limit is not null)
            {
                Write($"groups/{path}/memory.max", $"{limit}\n");
                Write($"groups/{path}/memory.current", $"{1 << 30}\n");
                Write($"groups/{path}/memory.stat", "anon 5\ninactive_file 500\n");
            }
        }
    }

    [Fact]
    public void OfLinux_VersionOne_IsReadToo()
    {
        Write("proc/meminfo", "MemAvailable:    8388608 kB\n");
        Write("proc/self/cgroup", "9:cpu,memory:/job\n1:name=systemd:/job\n0::/\n");
        Write("groups/memory/job/memory.limit_in_bytes", "5000\n");
        Write("groups/memory/job/memory.usage_in_bytes", "4000\n");
        Write("groups/memory/job/memory.stat", "total_inactive_file 300\n");

        Assert.Equal(1300, HostMemory.OfLinux(_folder["proc"], _folder["groups"]));
    }

    [Fact]
    public void OfLinux_WithoutFiles_DoesNotSay() => Assert.Null(HostMemory.OfLinux(_folder["nowhere"], _folder["nowhere"]));

    [Fact]
    public void FreeByteCount_OfThisMachine_IsSomething() => Assert.InRange(HostMemory.FreeByteCount, 1L << 20, 1L << 50);

    /// <summary>What other systems run.</summary>
    [Fact]
    public void OfRuntime_OfThisMachine_IsAPartOfItsMemory() => Assert.InRange(HostMemory.OfRuntime(), 1L << 20, MachineProfile.AvailableMemory);

    private void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder[path])!);
        File.WriteAllText(_folder[path], text);
    }
}
