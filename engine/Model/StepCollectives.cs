using System.Diagnostics;
using System.Runtime.InteropServices;
using Distributed.Collectives;
using Distributed.Engine.Parallel;

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
    Hidden,
    Agreement,
}

/// <summary>
/// The collectives of a step: with all ranks, with the ranks of this one's stage, and from stage to stage; their tags, and the time that they
/// take, waiting for slower ranks included.
/// </summary>
/// <remarks>
/// Limits of waits between stages are so much longer as work lies before them: a stage waits for what all stages before it do, each of which has an
/// operation's limit for its own waits, so that of a stage that hangs its own ranks and its neighbour speak first.
/// </remarks>
internal sealed class StepCollectives
{
    private static readonly TimeSpan CommandTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StageGrace = TimeSpan.FromSeconds(5);
    private readonly ProcessGroup _group;
    private readonly ProcessGroup _stage; // the ranks of this one's stage
    private readonly ProcessGroup? _answering; // rank 0 and those of the last stage; null on ranks that are neither
    private readonly ModelMesh _mesh;
    private readonly int _stageNumber;
    private readonly int _index; // within the stage
    private long _ticks;
    private uint _step; // the number of commands so far

    /// <param name="group">All ranks.</param>
    /// <param name="mesh">Their stages; rank 0 is in the first one.</param>
    public StepCollectives(ProcessGroup group, ModelMesh mesh)
    {
        if (mesh.WorldSize != group.WorldSize)
        {
            throw new ArgumentException($"A mesh of {mesh} does not fit {group.WorldSize} ranks.", nameof(mesh));
        }

        (_group, _mesh) = (group, mesh);
        (_stageNumber, _index) = (mesh.StageOf(group.Rank), mesh.IndexOf(group.Rank));
        if (mesh.StageCount == 1)
        {
            (_stage, _answering) = (group, group);
            return;
        }

        _stage = group.Subgroup(mesh.RanksOf(_stageNumber))!; // this rank is among them
        int[] answering = [0, .. mesh.RanksOf(mesh.StageCount - 1)];
        _answering = answering.Contains(group.Rank) ? group.Subgroup(answering) : null;
    }

    public int Rank => _group.Rank;

    public int WorldSize => _group.WorldSize;

    /// <summary>Ranks of this one's stage.</summary>
    public int StageSize => _stage.WorldSize;

    /// <summary>This rank, counted within its stage.</summary>
    public int StageRank => _index;

    /// <inheritdoc cref="ProcessGroup.Aborted"/>
    public CancellationToken Aborted => _group.Aborted;

    /// <summary>Parts of what <see cref="GatherAnswers"/> collects on rank 0: where it is not in the last stage, its own part comes first and says nothing.</summary>
    public int AnswerCount => _mesh.StageCount == 1 ? WorldSize : 1 + _mesh.StageSize;

    /// <summary>The first part that says something; the rest are those of the last stage's ranks.</summary>
    public int FirstAnswer => _mesh.StageCount == 1 ? 0 : 1;

    /// <summary>Whether this rank takes part in <see cref="GatherAnswers"/>.</summary>
    public bool IsAnswering => _answering is not null;

    /// <summary>Time spent in steps' collectives since the start, the wait for the next command excluded.</summary>
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(0, _ticks);

    /// <summary>Rank 0 tells the others what comes next; they wait for it for 60 s, within which rank 0 sends at least a sign of life.</summary>
    public void BroadcastCommand(Span<byte> message)
    {
        // Stages that are done with a step wait here for those that are not.
        var timeout = _mesh.StageCount == 1 ? CommandTimeout : CommandTimeout + StageLimit(_mesh.StageCount + 1);
        _group.Broadcast(message, 0, Options(StepOperation.Command) with { Timeout = timeout, AwaitsWork = true });
        unchecked
        {
            _step++;
        }
    }

    /// <summary>The rest of a command that is too long for one message of fixed size.</summary>
    public void BroadcastBody(Span<byte> body) => _group.Broadcast(body, 0, Options(StepOperation.CommandBody));

    /// <summary>Sums [element] values over the ranks of this stage.</summary>
    public void AllReduce(Span<float> values, StepOperation operation, int layer = 0)
    {
        var start = Stopwatch.GetTimestamp();
        _stage.AllReduce(values, Options(operation, layer) with { Layer = (uint)layer });
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Gives every rank of this stage the parts of all of them, in their order.</summary>
    /// <param name="part">[byte], of equal length on all of them.</param>
    /// <param name="all">[<see cref="StageSize"/>, byte]</param>
    /// <param name="operation">What it is.</param>
    public void AllGather(ReadOnlySpan<byte> part, Span<byte> all, StepOperation operation) => _stage.AllGather(part, all, Options(operation));

    /// <summary>Sends hidden states to this rank's counterpart in the next stage.</summary>
    /// <param name="values">[element]; free for reuse on return.</param>
    /// <param name="part">Which part of the step.</param>
    /// <param name="layer">The last layer that they have passed.</param>
    public void SendHidden(ReadOnlySpan<float> values, int part, int layer)
    {
        var start = Stopwatch.GetTimestamp();
        var peer = _mesh.RankAt(_stageNumber + 1, _index);
        var options = Options(StepOperation.Hidden, part) with { Layer = (uint)layer, Timeout = StageLimit(_mesh.StageCount) };
        _group.Send(MemoryMarshal.AsBytes(values), peer, options);
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Receives what this rank's counterpart in the stage before sends.</summary>
    /// <param name="values">[element]</param>
    /// <param name="part">Which part of the step.</param>
    /// <param name="layer">The first layer that they will pass.</param>
    public void ReceiveHidden(Span<float> values, int part, int layer)
    {
        var start = Stopwatch.GetTimestamp();
        var peer = _mesh.RankAt(_stageNumber - 1, _index);
        var options = Options(StepOperation.Hidden, part) with { Layer = (uint)layer, Timeout = StageLimit(_stageNumber) };
        _group.Receive(MemoryMarshal.AsBytes(values), peer, options);
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Collects on rank 0 what the ranks of the last stage have to say; only ranks that are <see cref="IsAnswering"/> call it.</summary>
    /// <param name="part">[byte], of equal length on all of them; ignored on rank 0 where that is not in the last stage.</param>
    /// <param name="all">[<see cref="AnswerCount"/>, byte] on rank 0.</param>
    /// <param name="operation">What it is.</param>
    public void GatherAnswers(ReadOnlySpan<byte> part, Span<byte> all, StepOperation operation)
    {
        var start = Stopwatch.GetTimestamp();
        _answering!.Gather(part, all, 0, Options(operation) with { Timeout = _mesh.StageCount == 1 ? null : StageLimit(_mesh.StageCount) }); // see the summary
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Collects the parts of all ranks on rank 0.</summary>
    public void GatherToLeader(ReadOnlySpan<byte> part, Span<byte> all, StepOperation operation)
    {
        var start = Stopwatch.GetTimestamp();
        _group.Gather(part, all, 0, Options(operation));
        _ticks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Fails where a loop is given another group than the model was loaded with.</summary>
    public void Require(ProcessGroup other)
    {
        if (!ReferenceEquals(_group, other))
        {
            throw new ArgumentException("A loop runs on the process group that its model was loaded with.", nameof(other));
        }
    }

    /// <inheritdoc cref="ProcessGroup.Abort"/>
    public void Abort(string cause) => _group.Abort(cause);

    private static TimeSpan StageLimit(int stageCount) => stageCount * (ProcessGroup.DefaultTimeout + StageGrace);

    private CollectiveOptions Options(StepOperation operation, int layer = 0) => new(((uint)operation << 16) | (uint)layer) { Step = _step };
}
