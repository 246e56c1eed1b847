using System.Runtime.InteropServices;
using Distributed.Collectives;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// Rank 0's side of the steps: tells the other ranks what to run, runs its own part, and merges what they answer.
/// </summary>
/// <remarks>
/// All members throw <see cref="CollectiveException"/> where a rank is lost, late or out of step; the group is aborted then and the model
/// of no more use. The other ranks wait at most 60 s for the next command, so an idle owner calls <see cref="KeepAlive"/> every 15 s.
/// </remarks>
public sealed class LeaderLoop
{
    private readonly LlamaModel _model;
    private readonly StepCollectives _collectives;
    private readonly StepResult _result;
    private readonly byte[] _message = new byte[CommandMessage.ByteCount];
    private byte[] _body = [];
    private byte[] _answers = [];
    private float[] _row = [];

    /// <param name="model">Rank 0's part of the model.</param>
    /// <param name="group">The group that the model was loaded with.</param>
    public LeaderLoop(LlamaModel model, ProcessGroup group)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(group.Rank, 0);
        model.Collectives.Require(group);
        _model = model;
        _collectives = model.Collectives;
        _result = new StepResult(model.Plan, model.Options.MaxTokensPerStep);
        Cache = new CacheBlocks(model.Options.MaxBatchSize, model.Options.MaxSequenceLength, model.Options.CacheBlockCount);
    }

    /// <summary>The blocks of the cache, which steps take as they need them; whoever knows more of the sequences gives them back and shares them.</summary>
    internal CacheBlocks Cache { get; }

    /// <summary>The arithmetic of rank 0.</summary>
    internal KernelSet Kernels => _model.Kernels;

    /// <summary>Runs a step on all ranks.</summary>
    /// <returns>The outputs, valid until the next call.</returns>
    /// <exception cref="ArgumentException">
    /// The command is outside of the model's limits, leaves a gap between a slot's positions, or finds the cache full; no rank has heard of it.
    /// </exception>
    /// <exception cref="NonFiniteLogitsException">A rank computed an infinity or NaN; the next step can run.</exception>
    public StepResult Run(StepCommand command)
    {
        if ((_model.Limits.FindMistake(command) ?? Cache.Advance(command)) is { } mistake)
        {
            throw new ArgumentException(mistake, nameof(command));
        }

        if (_model.Accept(command) is { } error)
        {
            throw new InvalidOperationException(error); // the book and the tables differ
        }

        SendStep(command);
        var stride = StepAnswer.ByteCount(_model.Plan, command.Outputs);
        var length = checked(_collectives.AnswerCount * stride);
        StepAnswer.Reserve(ref _answers, length);
        _model.RunStep(command, _answers.AsSpan(0, length));
        var answers = _answers.AsSpan(_collectives.FirstAnswer * stride, _model.Plan.WorldSize * stride);
        ThrowIfNotFinite(answers, stride);
        _result.Merge(command, answers, stride);
        return _result;
    }

    /// <summary>The whole row of logits of an output of the last step that asked for candidates or more.</summary>
    /// <returns>[vocabulary], valid until the next call.</returns>
    public ReadOnlySpan<float> FetchRow(int output)
    {
        if (!_model.IsRowKept(output))
        {
            throw new ArgumentOutOfRangeException(
                nameof(output), output, "The last step kept no logits of this output: it must ask for candidates.");
        }

        var plan = _model.Plan;
        Send(CommandKind.FetchRow, output);
        if (_row.Length == 0)
        {
            _row = new float[plan.MaxVocabularyCount * _collectives.AnswerCount];
        }

        _collectives.GatherAnswers(
            MemoryMarshal.AsBytes(_model.KeptRow(output)), MemoryMarshal.AsBytes(_row.AsSpan()), StepOperation.Row);

        // Slices arrive in places of the longest one's size, and move up to each other.
        for (var rank = 0; rank < plan.WorldSize; rank++)
        {
            var slice = plan.VocabularyOf(rank);
            _row.AsSpan((_collectives.FirstAnswer + rank) * plan.MaxVocabularyCount, slice.Count).CopyTo(_row.AsSpan(slice.Start));
        }

        return _row.AsSpan(0, _model.Config.VocabularySize);
    }

    /// <summary>Tells the other ranks that this one is alive.</summary>
    public void KeepAlive() => Send(CommandKind.KeepAlive);

    /// <summary>Asks every rank for its figures.</summary>
    /// <returns>[rank]</returns>
    public RankStatistics[] CollectStatistics()
    {
        Send(CommandKind.Statistics);
        var own = _model.GetStatistics();
        var all = new RankStatistics[_collectives.WorldSize];
        _collectives.GatherToLeader(
            MemoryMarshal.AsBytes(new ReadOnlySpan<RankStatistics>(in own)), MemoryMarshal.AsBytes(all.AsSpan()), StepOperation.Statistics);
        return all;
    }

    /// <summary>Ends the other ranks' loops.</summary>
    public void Stop() => Send(CommandKind.Stop);

    private void SendStep(StepCommand command)
    {
        var bodyLength = CommandMessage.BodyByteCount(command.Tokens.Length, command.Outputs.Length, command.Blocks.Length);
        CommandMessage.WriteHeader(_message, CommandKind.Step, command.Tokens.Length, command.Outputs.Length, command.Blocks.Length);
        if (CommandMessage.IsInline(bodyLength))
        {
            CommandMessage.WriteBody(command, CommandMessage.InlineBody(_message, bodyLength));
            _collectives.BroadcastCommand(_message);
            return;
        }

        StepAnswer.Reserve(ref _body, bodyLength);
        CommandMessage.WriteBody(command, _body);
        _collectives.BroadcastCommand(_message);
        _collectives.BroadcastBody(_body.AsSpan(0, bodyLength));
    }

    private void Send(CommandKind kind, int argument = 0)
    {
        CommandMessage.WriteHeader(_message, kind, argument: argument);
        _collectives.BroadcastCommand(_message);
    }

    private void ThrowIfNotFinite(ReadOnlySpan<byte> answers, int stride)
    {
        var bad = BadPart.None;
        for (var start = 0; start < answers.Length; start += stride)
        {
            bad = bad.Earliest(BadPart.Read(answers[start..]));
        }

        if (bad.Stage != StepStage.None)
        {
            var (part, layer) = StepStage.Describe(bad.Stage, _model.Config.LayerCount);
            throw new NonFiniteLogitsException(
                $"Rank {bad.Rank} computed a number that is not finite in {part}{(layer is { } number ? $" of layer {number}" : "")}; " +
                "this request is void. If it happens again, verify the checkpoint's files or use one that is stored in a wider format.",
                bad.Rank,
                layer);
        }
    }
}
