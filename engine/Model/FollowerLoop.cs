using System.Runtime.InteropServices;
using Distributed.Collectives;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The other ranks' side of the steps: does what rank 0 says until it says stop.</summary>
public sealed class FollowerLoop
{
    private readonly LlamaModel _model;
    private readonly StepCollectives _collectives;
    private readonly StepCommand _command = new();
    private readonly byte[] _message = new byte[CommandMessage.ByteCount];
    private byte[] _body = [];

    /// <param name="model">This rank's part of the model.</param>
    /// <param name="group">The group that the model was loaded with.</param>
    public FollowerLoop(LlamaModel model, ProcessGroup group)
    {
        ArgumentOutOfRangeException.ThrowIfZero(group.Rank);
        model.Collectives.Require(group);
        _model = model;
        _collectives = model.Collectives;
    }

    /// <summary>Returns after rank 0 has called <see cref="LeaderLoop.Stop"/>.</summary>
    /// <exception cref="CollectiveException">
    /// A rank is lost, or rank 0 sent nothing for 60 s, or something that is no command within this model's limits; the group is aborted.
    /// </exception>
    public void Run()
    {
        while (true)
        {
            _collectives.BroadcastCommand(_message);
            if (!CommandMessage.TryReadHeader(
                _message, _model.Limits.MaxTokensPerStep, out var kind, out var tokenCount, out var outputCount, out var argument))
            {
                throw Refuse("a message that is no command of this version");
            }

            switch (kind)
            {
                case CommandKind.Step:
                    ReceiveStep(tokenCount, outputCount, argument);
                    _model.RunStep(_command, []);
                    break;
                case CommandKind.FetchRow:
                    SendRow(argument);
                    break;
                case CommandKind.Statistics:
                    var statistics = _model.GetStatistics();
                    _collectives.GatherToLeader(
                        MemoryMarshal.AsBytes(new ReadOnlySpan<RankStatistics>(in statistics)), [], StepOperation.Statistics);
                    break;
                case CommandKind.Stop:
                    return;
                default:
                    break;
            }
        }
    }

    private void ReceiveStep(int tokenCount, int outputCount, int blockCount)
    {
        if ((uint)blockCount > (uint)_model.Limits.MaxChangeCount)
        {
            throw Refuse($"a step that moves {blockCount} blocks of the cache");
        }

        var length = CommandMessage.BodyByteCount(tokenCount, outputCount, blockCount);
        Span<byte> body;
        if (CommandMessage.IsInline(length))
        {
            body = CommandMessage.InlineBody(_message, length);
        }
        else
        {
            StepAnswer.Reserve(ref _body, length);
            body = _body.AsSpan(0, length);
            _collectives.BroadcastBody(body);
        }

        CommandMessage.ReadBody(body, tokenCount, outputCount, blockCount, _command);
        if (_model.Accept(_command) is { } mistake)
        {
            throw Refuse($"a step that this rank cannot run ({mistake})");
        }
    }

    private void SendRow(int output)
    {
        if (!_model.IsRowKept(output))
        {
            throw Refuse($"a request for the logits of output {output}, which the last step did not keep");
        }

        if (_collectives.IsAnswering)
        {
            _collectives.GatherAnswers(MemoryMarshal.AsBytes(_model.KeptRow(output)), [], StepOperation.Row);
        }
    }

    private PeerProtocolException Refuse(string what)
    {
        var cause = $"Rank 0 sent rank {_collectives.Rank} {what}; start all ranks with the same program and options.";
        _collectives.Abort(cause);
        return new PeerProtocolException(cause, 0);
    }
}
