using System.Diagnostics;
using Distributed.Collectives;

namespace Distributed.Engine.Model;

/// <summary>What a collective of the engine is for; part of its tag, so that ranks that are out of step find out at once.</summary>
internal enum StepOperation
{
    Command = 1,
    CommandBody,
    Attention,
    FeedForward,
    Logits,
    Row,
    Statistics,
}

/// <summary>The collectives of a step: tags, and the time that they take, waiting for slower ranks included.</summary>
internal sealed class StepCollectives(ProcessGroup group)
{
    private static readonly TimeSpan CommandTimeout = TimeSpan.FromSeconds(60);
    private long _ticks;
    private uint _step; // the number of commands so far

    public int Rank => group.Rank;

    public int WorldSize => group.WorldSize;

    /// <summary>Time spent in steps' collectives since the start, the wait for the next command excluded.</summary>
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(0, _ticks);

    /// <summary>Rank 0 tells the others what comes next; they wait for it for 60 s, within which rank 0 sends at least a sign of life.</summary>
    public void BroadcastCommand(Span<byte> message)
    {
        group.Broadcast(message, 0, Options(StepOperation.Command) with { Timeout = CommandTimeout, AwaitsWork = true });
        unchecked
        {
            _step++;
        }
    }

    /// <summary>The rest of a command that is too long for one message of fixed size.</summary>
    public void BroadcastBody(Span<byte> body) => group.Broadcast(body, 0, Options(StepOperation.CommandBody));

    public void AllReduce(Span<float> values, StepOperation operation, int layer = 0)
    {
        var start = Stopwatch.GetTimestamp();
        group.AllReduce(values, Options(operation, layer) with { Layer = (uint)layer });
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    public void AllGather(ReadOnlySpan<float> part, Span<float> all, StepOperation operation)
    {
        var start = Stopwatch.GetTimestamp();
        group.AllGather(part, all, Options(operation));
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    public void GatherToLeader(ReadOnlySpan<byte> part, Span<byte> all, StepOperation operation)
    {
        var start = Stopwatch.GetTimestamp();
        group.Gather(part, all, 0, Options(operation));
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Fails where a loop is given another group than the model was loaded with.</summary>
    public void Require(ProcessGroup other)
    {
        if (!ReferenceEquals(group, other))
        {
            throw new ArgumentException("A loop runs on the process group that its model was loaded with.", nameof(other));
        }
    }

    /// <inheritdoc cref="ProcessGroup.Abort"/>
    public void Abort(string cause) => group.Abort(cause);

    private CollectiveOptions Options(StepOperation operation, int layer = 0) => new(((uint)operation << 16) | (uint)layer) { Step = _step };
}
