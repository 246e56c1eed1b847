namespace Distributed.Launcher.Rendezvous;

/// <summary>Why a round ended before all its ranks had succeeded. The first to be written down is the one that every node goes by.</summary>
internal sealed record RoundEnd
{
    /// <summary>The node that met the cause; of a node that was lost, that node.</summary>
    public required string NodeId { get; init; }

    /// <summary>Its machine.</summary>
    public required string Host { get; init; }

    /// <summary>The cause, a clause for the user.</summary>
    public required string Cause { get; init; }

    /// <summary>What the launchers end with if this is the end of the job.</summary>
    public required int ExitCode { get; init; }

    /// <summary>Whether the job ends with the round.</summary>
    public required bool IsFinal { get; init; }

    /// <summary>Whether the restart that follows counts against --max-restarts: a failure does, a node that joins does not.</summary>
    public bool IsCounted { get; init; }

    /// <summary>Whether a report of the failure follows under the round's report key.</summary>
    public bool HasReport { get; init; }

    /// <summary>The wait before the restart.</summary>
    public double BackoffSeconds { get; init; }
}
