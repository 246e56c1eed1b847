using System.Diagnostics;
using Distributed.Launcher.Schedulers;

namespace Distributed.Launcher.Tests.Schedulers;

public sealed class HostListTests
{
    /// <summary>Lists on which Slurm's own expansion agrees; see <see cref="Expand_AgreesWithScontrol"/>.</summary>
    public static readonly TheoryData<string, string> Lists = new()
    {
        { "node1", "node1" },
        { "node[1-3,5],x", "node1 node2 node3 node5 x" },
        { "n[9-11]", "n9 n10 n11" },
        { "n[001-003,10]", "n001 n002 n003 n10" },
        { "n[08-010]", "n08 n09 n10" },
        { "n[1,1]", "n1 n1" },
        { "a[1-2]b[3-4]", "a1b3 a1b4 a2b3 a2b4" },
        { "a[1-2][3-4]", "a13 a14 a23 a24" },
        { "[1-2]", "1 2" },
        { "rack-7-gpu[98-101]", "rack-7-gpu98 rack-7-gpu99 rack-7-gpu100 rack-7-gpu101" },
        { "a,,b,", "a b" },
        { "", "" },
    };

    [Theory]
    [MemberData(nameof(Lists))]
    public void Expand_List_GivesEachName(string list, string names) => Assert.Equal(names, string.Join(' ', HostList.Expand(list)));

    /// <summary>scontrol of Slurm 22.05 refuses a name that goes on after its bracket; later ones take it.</summary>
    [Fact]
    public void Expand_TextAfterTheBracket_IsKept() => Assert.Equal(["n1-ib0", "n2-ib0", "m"], HostList.Expand("n[1-2]-ib0,m"));

    [Theory]
    [InlineData("n[1-2", "brackets do not match")]
    [InlineData("n1]", "brackets do not match")]
    [InlineData("n[[1-2],3]", "brackets do not match")]
    [InlineData("n[3-1]", "holds 3-1 where")]
    [InlineData("n[]", "holds nothing where")]
    [InlineData("n[a-c]", "holds a-c where")]
    [InlineData("n[1-2-3]", "holds 1-2-3 where")]
    [InlineData("n[1-]", "holds 1- where")]
    [InlineData("n[ 1]", "holds  1 where")]
    [InlineData("n[99999999999]", "holds 99999999999 where")]
    [InlineData("n[0-999999999]", "more than 100000 names")]
    [InlineData("n[0-999][0-999]", "more than 100000 names")]
    [InlineData("n[0-99999],m[0-9]", "more than 100000 names")]
    public void Expand_NoList_IsRefused(string list, string problem)
        => Assert.Contains(problem, Assert.Throws<FormatException>(() => HostList.Expand(list)).Message, StringComparison.Ordinal);

    [ScontrolFact]
    public async Task Expand_AgreesWithScontrol()
    {
        using var files = new TemporaryFolder();
        await File.WriteAllTextAsync(files["slurm.conf"], "ClusterName=t\nSlurmctldHost=localhost\nNodeName=localhost\nPartitionName=p Nodes=localhost\n");
        foreach (var (list, _) in Lists.Select(row => row.Data))
        {
            var start = new ProcessStartInfo("scontrol", ["show", "hostnames", list]) { RedirectStandardOutput = true };
            start.Environment["SLURM_CONF"] = files["slurm.conf"];
            using var scontrol = Process.Start(start)!;
            var names = await scontrol.StandardOutput.ReadToEndAsync().DefaultTimeout();
            Assert.Equal(names.Split('\n', StringSplitOptions.RemoveEmptyEntries), HostList.Expand(list));
        }
    }

    /// <summary>A fact that needs Slurm's scontrol.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    private sealed class ScontrolFactAttribute : FactAttribute
    {
        public ScontrolFactAttribute() => Skip = Requirements.MissingProgram("scontrol");
    }
}
