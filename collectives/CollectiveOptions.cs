namespace Distributed.Collectives;

/// <summary>What every collective operation carries beside its data.</summary>
/// <param name="Tag">
/// Tells operations apart: every rank passes the same tag to the same operation, and a peer whose next message carries another one
/// is out of step, which is an error and never a wrong sum.
/// </param>
/// <param name="Timeout">The limit for the whole operation; <see langword="null"/> takes <see cref="ProcessGroup.DefaultTimeout"/>.</param>
public readonly record struct CollectiveOptions(uint Tag = 0, TimeSpan? Timeout = null)
{
    /// <summary>
    /// Whether this rank waits here for work, which comes when there is some: a long wait is then no sign that another rank hangs. It is of
    /// this rank alone, and changes nothing of the operation.
    /// </summary>
    public bool AwaitsWork { get; init; }

    /// <summary>Which step of its work this rank is in, for the words in which its peers say where it was last heard of.</summary>
    public uint? Step { get; init; }

    /// <summary>Which layer of that step; said beside it.</summary>
    public uint? Layer { get; init; }
}
