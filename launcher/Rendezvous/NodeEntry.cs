namespace Distributed.Launcher.Rendezvous;

/// <summary>What one node, that is one launcher, says about itself in the rendezvous.</summary>
internal sealed record NodeEntry
{
    /// <summary>Random: tells two launchers apart, also two lives of one.</summary>
    public required string Id { get; init; }

    /// <summary>The machine's name.</summary>
    public required string Host { get; init; }

    /// <summary>The rank among the nodes that the user, or a scheduler, has given it; <see langword="null"/> where none has.</summary>
    public int? DeclaredRank { get; init; }

    /// <summary>Ranks on this node.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>Of its ranks.</summary>
    public required string Role { get; init; }

    /// <summary>MASTER_ADDR where this node turns out to be the first.</summary>
    public required string Address { get; init; }

    /// <summary>MASTER_PORT where this node turns out to be the first.</summary>
    public required int MasterPort { get; init; }

    /// <summary>Counts the nodes as they came.</summary>
    public long Seat { get; init; }

    /// <summary>Whether all its ranks have succeeded in this round.</summary>
    public bool HasFinished { get; init; }

    /// <summary>Whether it has gone after that; it stays in the round, by which the others' ranks are counted.</summary>
    public bool HasLeft { get; init; }
}
