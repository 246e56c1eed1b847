using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// What a machine cannot exceed, whatever the program: a token of one row needs all weights once, so decoding is bound by memory, and
/// prefilling by arithmetic.
/// </summary>
/// <param name="WorldSize">The number of ranks.</param>
/// <param name="DecodeHere">Tokens a second with all ranks on this machine, which share its memory.</param>
/// <param name="DecodeApart">Tokens a second with each rank on a machine like this one.</param>
/// <param name="PrefillHere">Tokens a second of a prompt with all ranks on this machine.</param>
public sealed record SpeedLimit(int WorldSize, double DecodeHere, double DecodeApart, double PrefillHere)
{
    /// <summary>Predicts it: bandwidth over the bytes a token, multiply-adds over those a token.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="quantization">What its matrices are computed with where that is blocks of 8 or 4 bits, else <see langword="null"/>.</param>
    /// <param name="precision">What products of stored weights are computed from.</param>
    /// <param name="memory">What the ranks read.</param>
    /// <param name="machine">What was measured.</param>
    /// <param name="position">The position of the token, which reads the keys and values of all before it.</param>
    public static SpeedLimit Of(LlamaConfig config, TensorType? quantization, MatmulPrecision precision, RankMemory memory, MachineProfile machine, int position)
    {
        var outputElements = (long)config.VocabularySize * config.Dimension; // which only the last token of a prompt needs
        var operations = 2.0 * (memory.TotalWeightCount - outputElements);
        var largest = memory.WeightByteCount + ((double)memory.TotalPositionByteCount * position / memory.WorldSize);
        return new SpeedLimit(
            memory.WorldSize,
            machine.ReadBytesPerSecond / memory.TokenByteCount(position),
            machine.ReadBytesPerSecond / largest,
            machine.OperationsPerSecond(quantization, precision) / operations);
    }
}
