using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Which ranks a node gets.</summary>
public sealed class NodePlacementTests
{
    // L13
    [Fact]
    public void Of_HostsWithNumbers_FollowsTheNumbers()
    {
        var state = Round(Nodes.Named("node66"), Nodes.Named("node7"), Nodes.Named("node8"));
        Assert.Equal([2, 0, 1], GroupRanks(state, "node66", "node7", "node8"));
        Assert.Equal("node7.example", NodePlacement.Of(state, "node66").MasterAddress);
    }

    // L13
    [Fact]
    public void Of_DeclaredRanks_FollowsThemWhateverTheNames()
    {
        var state = Round(Nodes.Named("a") with { DeclaredRank = 2 }, Nodes.Named("b") with { DeclaredRank = 0 }, Nodes.Named("c") with { DeclaredRank = 1 });
        Assert.Equal([2, 0, 1], GroupRanks(state, "a", "b", "c"));
    }

    [Fact]
    public void Of_OneHostTwice_FollowsTheOrderOfComing()
    {
        var state = Round(Nodes.Named("z") with { Host = "same" }, Nodes.Named("a") with { Host = "same" });
        Assert.Equal([0, 1], GroupRanks(state, "z", "a"));
    }

    [Theory]
    [InlineData("node7", "node66", -1)]
    [InlineData("rack2-node10", "rack10-node2", -1)]
    [InlineData("node007", "node8", -1)]
    [InlineData("node8", "node8", 0)]
    [InlineData("node08", "node8", -1)] // some order, and never equal
    [InlineData("a", "a1", -1)]
    [InlineData("b", "a1", 1)]
    [InlineData("n99999999999999999999999", "n100000000000000000000000", -1)]
    public void CompareNames_OfTwo_IsNumericAndAntisymmetric(string x, string y, int expected)
    {
        Assert.Equal(expected, Math.Sign(NodeOrder.CompareNames(x, y)));
        Assert.Equal(-expected, Math.Sign(NodeOrder.CompareNames(y, x)));
    }

    // 40, 41
    [Fact]
    public void Of_NodesOfOneTwoAndThreeRanks_GivesContiguousRanks()
    {
        var state = Round(Nodes.Named("a", ranks: 1), Nodes.Named("b", ranks: 2), Nodes.Named("c", ranks: 3));
        Assert.Equal([0, 1, 3], new[] { "a", "b", "c" }.Select(id => NodePlacement.Of(state, id).FirstRank));
        Assert.All(new[] { "a", "b", "c" }, id => Assert.Equal(6, NodePlacement.Of(state, id).WorldSize));
        Assert.Equal(3, NodePlacement.Of(state, "c").LocalWorldSize);
    }

    // 42
    [Fact]
    public void Of_NodesOfTwoRoles_CountsTheRanksOfEachRole()
    {
        var state = Round(
            Nodes.Named("n0", ranks: 4, role: "ps"),
            Nodes.Named("n1", ranks: 1, role: "trainer"),
            Nodes.Named("n2", ranks: 2, role: "trainer"),
            Nodes.Named("n3", ranks: 3, role: "trainer"),
            Nodes.Named("n4", ranks: 5, role: "ps"));
        var placements = Enumerable.Range(0, 5).Select(node => NodePlacement.Of(state, $"n{node}")).ToArray();

        Assert.All(placements, placement => Assert.Equal(15, placement.WorldSize));
        Assert.Equal([9, 6, 6, 6, 9], placements.Select(placement => placement.RoleWorldSize));
        Assert.Equal([0, 0, 1, 3, 4], placements.Select(placement => placement.FirstRoleRank));
    }

    private static RendezvousState Round(params NodeEntry[] nodes)
        => nodes.Aggregate(Nodes.Empty(nodes.Length, nodes.Length), (state, node) => state.Join(node));

    private static int[] GroupRanks(RendezvousState state, params string[] ids) => [.. ids.Select(id => NodePlacement.Of(state, id).GroupRank)];
}
