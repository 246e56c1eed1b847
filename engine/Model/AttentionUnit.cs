using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// What one thread computes at once of a token's attention: query heads that follow each other and use the same key-value head.
/// </summary>
/// <param name="KeyValueHead">Counted from this rank's first.</param>
/// <param name="Head">The first query head, counted from this rank's first.</param>
/// <param name="HeadCount">Query heads.</param>
internal readonly record struct AttentionUnit(int KeyValueHead, int Head, int HeadCount)
{
    /// <summary>All query heads of a rank, which may begin and end within a group.</summary>
    /// <param name="plan">The rank's part.</param>
    /// <param name="groupSize">Query heads that share a key-value head; query head q uses q / groupSize.</param>
    /// <param name="maxHeadCount">The greatest number of heads of a unit; at least 1, else there are no units.</param>
    public static AttentionUnit[] Cut(ShardPlan plan, int groupSize, int maxHeadCount)
    {
        var units = new List<AttentionUnit>();
        for (var head = plan.Heads.Start; head < plan.Heads.End && maxHeadCount > 0; head += units[^1].HeadCount)
        {
            var groupEnd = ((head / groupSize) + 1) * groupSize;
            units.Add(new AttentionUnit(
                (head / groupSize) - plan.KeyValueHeads.Start,
                head - plan.Heads.Start,
                Math.Min(maxHeadCount, Math.Min(groupEnd, plan.Heads.End) - head)));
        }

        return [.. units];
    }
}
