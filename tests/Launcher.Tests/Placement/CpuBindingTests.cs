using System.Globalization;
using Distributed.Collectives.Hosting;
using Distributed.Launcher.Placement;

namespace Distributed.Launcher.Tests.Placement;

public sealed class CpuBindingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Two sockets, two NUMA nodes, two caches a node, four cores of two threads a node: CPU n and n + 8 are one core.
    private static readonly CpuTopology Machine = new(
        [.. Enumerable.Range(0, 16).Select(id => new LogicalCpu(id, Core: id % 8, Socket: id % 8 / 4, Node: id % 8 / 4, Complex: id % 8 / 2 * 2))], GpuNodes: [1, 0]);

    [Theory]
    [InlineData("Node", 2, "0-3,8-11 4-7,12-15")]
    [InlineData("Node", 4, "0-3,8-11 0-3,8-11 4-7,12-15 4-7,12-15")]
    [InlineData("Node", 1, "0-3,8-11")]
    [InlineData("Socket", 2, "0-3,8-11 4-7,12-15")]
    [InlineData("Exclusive", 4, "0-1,8-9 2-3,10-11 4-5,12-13 6-7,14-15")]
    [InlineData("Exclusive", 3, "0-1,8-9 2-3,10-11 4-7,12-15")]
    [InlineData("Exclusive", 8, "0,8 1,9 2,10 3,11 4,12 5,13 6,14 7,15")]
    [InlineData("CoreComplex", 4, "0-1,8-9 2-3,10-11 4-5,12-13 6-7,14-15")]
    [InlineData("CoreComplex", 2, "0-1,8-9 4-5,12-13")]
    [InlineData("CoreComplex", 6, "0-1,8-9 2-3,10-11 0-1,8-9 4-5,12-13 6-7,14-15 4-5,12-13")]
    public void Bind_RanksWithoutGpus_AreSpreadOverTheNodes(string mode, int ranks, string expected)
        => Assert.Equal(expected, Bind(Enum.Parse<CpuBindingMode>(mode), ranks));

    [Fact]
    public void Bind_RanksWithGpus_GoWhereTheirGpusAre()
        => Assert.Equal("4-7,12-15 0-3,8-11", Bind(CpuBindingMode.Node, 2, 0, 1));

    [Fact]
    public void Bind_MoreRanksThanCores_IsRefused()
        => Assert.Equal("exclusive: NUMA node 0 has 4 cores for 5 ranks", CpuBinding.Bind(Machine, CpuBindingMode.Exclusive, 10, []).Problem);

    [Fact]
    public void Topology_IsReadFromTheFilesOfTheKernel()
    {
        for (var id = 0; id < 4; id++)
        {
            Write($"sys/devices/system/cpu/cpu{id}/topology/thread_siblings_list", id % 2 == 0 ? "0,2" : "1,3");
            Write($"sys/devices/system/cpu/cpu{id}/topology/physical_package_id", "0");
            Write($"sys/devices/system/cpu/cpu{id}/cache/index0/level", "1");
            Write($"sys/devices/system/cpu/cpu{id}/cache/index0/shared_cpu_list", "9");
            Write($"sys/devices/system/cpu/cpu{id}/cache/index3/level", "3");
            Write($"sys/devices/system/cpu/cpu{id}/cache/index3/shared_cpu_list", "0-3");
        }

        Write("sys/devices/system/node/node0/cpulist", "0,2");
        Write("sys/devices/system/node/node1/cpulist", "1,3");
        Directory.CreateDirectory(_folder["gpus/0000:01:00.0"]);
        Directory.CreateDirectory(_folder["gpus/0000:41:00.0"]);
        Write("sys/bus/pci/devices/0000:41:00.0/numa_node", "1");
        var topology = CpuTopology.Read(_folder["sys"], _folder["gpus"], [3, 0, 1]);
        Assert.Equal([new LogicalCpu(0, 0, 0, 0, 0), new LogicalCpu(1, 1, 0, 1, 0), new LogicalCpu(3, 1, 0, 1, 0)], topology.Cpus);
        Assert.Equal([-1, 1], topology.GpuNodes);
    }

    [Fact]
    public void Topology_WithoutAnyFiles_IsOneNodeOfSingleCores()
        => Assert.Equal([new LogicalCpu(0, 0, 0, 0, 0), new LogicalCpu(5, 5, 0, 0, 5)], CpuTopology.Read(_folder["none"], _folder["none"], [0, 5]).Cpus);

    [LinuxFact]
    [System.Runtime.Versioning.SupportedOSPlatform("linux")]
    public async Task NumaBinding_BindsEachRankAndNotTheLauncher()
    {
        Assert.SkipUnless(Platform.UsesLinux, "Needs sched_setaffinity.");
        using var distrun = new Distrun();
        var topology = CpuTopology.Read();
        var ranks = Math.Min(2, topology.Cpus.Select(cpu => cpu.Core).Distinct().Count());
        var expected = CpuBinding.Bind(topology, CpuBindingMode.Exclusive, ranks, []).Cpus!;
        var result = await distrun.Run(
            "--nproc-per-node", ranks.ToString(CultureInfo.InvariantCulture), "--numa-binding", "exclusive", "--log-line-prefix-template", "${rank} ", "sed", "-n", "s/^Cpus_allowed_list:.//p", "/proc/self/status");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(
            expected.Select((cpus, rank) => (rank, string.Join(',', cpus))),
            result.OutputLines.Order().Select(line => (line[0] - '0', string.Join(',', CpuTopology.ParseList(line[2..])))));
    }

    private static string Bind(CpuBindingMode mode, int ranks, params int[] gpus)
        => string.Join(' ', CpuBinding.Bind(Machine, mode, ranks, gpus).Cpus!.Select(cpus => Launcher.Output.RankList.Format(cpus)));

    private void Write(string name, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder[name])!);
        File.WriteAllText(_folder[name], text + "\n");
    }
}
