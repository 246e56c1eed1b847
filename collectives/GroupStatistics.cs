namespace Distributed.Collectives;

/// <summary>What the operations of one kind have cost a rank so far.</summary>
/// <param name="Name">The method of <see cref="ProcessGroup"/>.</param>
/// <param name="Count">How many have ended, by success or not.</param>
/// <param name="ByteCount">Of this rank's arguments, together.</param>
/// <param name="Elapsed">In them, waiting for slower ranks included.</param>
public readonly record struct OperationStatistics(string Name, long Count, long ByteCount, TimeSpan Elapsed);

/// <summary>What a rank's operations have cost so far, and whom it has waited for.</summary>
/// <param name="Operations">Those that there were.</param>
/// <param name="SentByteCount">What this rank has sent to its peers.</param>
/// <param name="WaitedFor">[rank], the time that this one has waited for segments of that one; zero for itself.</param>
public sealed record GroupStatistics(IReadOnlyList<OperationStatistics> Operations, long SentByteCount, IReadOnlyList<TimeSpan> WaitedFor)
{
    /// <summary>Of a group that sends nothing.</summary>
    public static GroupStatistics None { get; } = new([], 0, [TimeSpan.Zero]);

    /// <summary>The rank that this one has waited for most; <see langword="null"/> where it has not waited.</summary>
    public int? Straggler
    {
        get
        {
            var longest = WaitedFor.Max();
            return longest == TimeSpan.Zero ? null : WaitedFor.ToList().IndexOf(longest);
        }
    }
}
