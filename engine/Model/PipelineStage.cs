using System.Runtime.InteropServices;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// This rank's stage of a pipeline: hidden states come from its counterpart in the stage before, pass its layers and go to the one in the stage that follows,
/// part by part. So stages work at once: while this one runs a part, the one before it runs the next (GPipe: Huang et al., arXiv:1811.06965).
/// </summary>
/// <remarks>
/// Sending does not wait until the next stage has used what was sent, only for room on the way, so a stage is at most about a part ahead of the next one.
/// Every stage writes the cache of its own layers in the order of the parts, which is that of the tokens.
/// </remarks>
internal sealed class PipelineStage
{
    private const int TrailerLength = BadPart.ByteCount / sizeof(float);

    private readonly ShardPlan _plan;
    private readonly int _dimension;
    private readonly StepCollectives _collectives;
    private readonly float[] _message; // [token, dimension], and the trailer after the last part; pinned, so that a device can copy from and to it

    /// <param name="plan">This rank's part.</param>
    /// <param name="dimension">Floats of a token's hidden state.</param>
    /// <param name="maxTokenCount">Tokens of the largest step.</param>
    /// <param name="collectives">The other stages.</param>
    public PipelineStage(ShardPlan plan, int dimension, int maxTokenCount, StepCollectives collectives)
    {
        (_plan, _dimension, _collectives) = (plan, dimension, collectives);
        _message = GC.AllocateArray<float>(checked((maxTokenCount * dimension) + TrailerLength), pinned: true);
    }

    /// <summary>Bytes allocated.</summary>
    public long ByteCount => (long)_message.Length * sizeof(float);

    /// <summary>Runs the parts of a step that has begun.</summary>
    /// <returns>What was not finite in the stages before this one, on the ranks by which the hidden states came.</returns>
    public BadPart Run(ComputeBackend backend, MicroBatches parts)
    {
        var earlier = BadPart.None;
        for (var part = 0; part < parts.Count; part++)
        {
            var tokens = parts[part];
            var trailer = part + 1 == parts.Count ? TrailerLength : 0;
            var message = _message.AsSpan(0, (tokens.Count * _dimension) + trailer);
            var hidden = message[..(tokens.Count * _dimension)];
            if (!_plan.IsFirstStage)
            {
                _collectives.ReceiveHidden(message, part, _plan.Layers.Start);
                earlier = trailer == 0 ? earlier : BadPart.Read(MemoryMarshal.AsBytes(message[^TrailerLength..]));
            }

            backend.RunPart(tokens.Start, tokens.Count, _plan.IsFirstStage ? [] : hidden, _plan.IsLastStage ? [] : hidden);
            if (_plan.IsLastStage)
            {
                continue;
            }

            if (trailer > 0)
            {
                earlier.Earliest(new BadPart(backend.FirstBadStage, _collectives.Rank)).Write(MemoryMarshal.AsBytes(message[^TrailerLength..]));
            }

            _collectives.SendHidden(message, part, _plan.Layers.End - 1);
        }

        return earlier;
    }
}
