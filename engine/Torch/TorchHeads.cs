using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Torch;

/// <summary>
/// Which key-value heads a rank keeps and how many of its query heads use each: the same number, as the device computes all of them at once.
/// </summary>
/// <remarks>
/// A rank whose query heads begin or end within a group, as some world sizes make them, keeps a copy of the key-value head for each of its query
/// heads in place of that.
/// </remarks>
internal sealed class TorchHeads
{
    public TorchHeads(LlamaConfig config, ShardPlan plan)
    {
        var groupSize = config.HeadCount / config.KeyValueHeadCount;
        var (first, end) = (plan.Heads.Start, plan.Heads.End);
        QueryCount = plan.Heads.Count;
        if (plan.KeyValueHeads.Count == 1)
        {
            (KeyValueHeads, GroupSize) = ([plan.KeyValueHeads.Start], QueryCount);
        }
        else if (first % groupSize == 0 && end % groupSize == 0)
        {
            (KeyValueHeads, GroupSize) = ([.. Enumerable.Range(plan.KeyValueHeads.Start, plan.KeyValueHeads.Count)], groupSize);
        }
        else
        {
            (KeyValueHeads, GroupSize) = ([.. Enumerable.Range(first, QueryCount).Select(head => head / groupSize)], 1);
        }
    }

    /// <summary>This rank's query heads.</summary>
    public int QueryCount { get; }

    /// <summary>[key-value head of this rank], its number in the model.</summary>
    public IReadOnlyList<int> KeyValueHeads { get; }

    /// <summary>Query heads that use each, which follow each other.</summary>
    public int GroupSize { get; }
}
