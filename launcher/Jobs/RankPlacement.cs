using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Jobs;

/// <summary>Where the ranks of this node stand in the world of one attempt, and where that world meets.</summary>
internal sealed record RankPlacement
{
    /// <summary>Global rank of this node's local rank 0; the others follow it without a gap.</summary>
    public required int FirstRank { get; init; }

    /// <summary>Ranks of all nodes.</summary>
    public required int WorldSize { get; init; }

    /// <summary>Ranks of this node.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>Rank of this node among the nodes.</summary>
    public required int GroupRank { get; init; }

    /// <summary>Number of nodes.</summary>
    public required int GroupWorldSize { get; init; }

    /// <summary>Rank of local rank 0 among the ranks of its role.</summary>
    public required int FirstRoleRank { get; init; }

    /// <summary>Ranks of this role on all nodes.</summary>
    public required int RoleWorldSize { get; init; }

    /// <summary>MASTER_ADDR.</summary>
    public required string MasterAddress { get; init; }

    /// <summary>MASTER_PORT.</summary>
    public required int MasterPort { get; init; }

    /// <summary>Whether the agents serve a store at that address, rather than rank 0.</summary>
    public bool UsesAgentStore { get; init; }

    /// <summary>The global ranks of this node.</summary>
    public IEnumerable<int> Ranks => Enumerable.Range(FirstRank, LocalWorldSize);

    /// <summary>The placement of a node that is the whole world.</summary>
    public static RankPlacement OfOneNode(int localWorldSize, string masterAddress, int masterPort) => new()
    {
        FirstRank = 0,
        WorldSize = localWorldSize,
        LocalWorldSize = localWorldSize,
        GroupRank = 0,
        GroupWorldSize = 1,
        FirstRoleRank = 0,
        RoleWorldSize = localWorldSize,
        MasterAddress = masterAddress,
        MasterPort = masterPort,
    };

    /// <summary>What it says to one rank.</summary>
    public RankEnvironment ToEnvironment(int localRank) => new()
    {
        Rank = FirstRank + localRank,
        LocalRank = localRank,
        WorldSize = WorldSize,
        LocalWorldSize = LocalWorldSize,
        GroupRank = GroupRank,
        GroupWorldSize = GroupWorldSize,
        RoleRank = FirstRoleRank + localRank,
        RoleWorldSize = RoleWorldSize,
        MasterAddress = MasterAddress,
        MasterPort = MasterPort,
        UseAgentStore = UsesAgentStore,
    };
}
