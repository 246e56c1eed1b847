using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Rendezvous;

/// <summary>Turns a round that is complete into the ranks of its nodes.</summary>
internal static class NodePlacement
{
    /// <summary>
    /// Where the ranks of one node stand: after those of all nodes before it, and among the ranks of its role after those of the nodes
    /// before it that have the same role (torch's _assign_worker_ranks).
    /// </summary>
    public static RankPlacement Of(RendezvousState state, string id)
    {
        NodeEntry[] nodes = [.. state.Participants.Order(NodeOrder.Instance)];
        var group = Array.FindIndex(nodes, node => node.Id == id);
        var self = nodes[group];
        var before = nodes.AsSpan(0, group).ToArray();
        return new RankPlacement
        {
            FirstRank = before.Sum(node => node.LocalWorldSize),
            WorldSize = nodes.Sum(node => node.LocalWorldSize),
            LocalWorldSize = self.LocalWorldSize,
            GroupRank = group,
            GroupWorldSize = nodes.Length,
            FirstRoleRank = before.Where(node => node.Role == self.Role).Sum(node => node.LocalWorldSize),
            RoleWorldSize = nodes.Where(node => node.Role == self.Role).Sum(node => node.LocalWorldSize),
            MasterAddress = nodes[0].Address,
            MasterPort = nodes[0].MasterPort,
        };
    }
}
