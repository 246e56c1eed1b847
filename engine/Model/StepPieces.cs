using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The answer of a rank to a step as it is written: a <see cref="LogitsPiece"/> an output; see <see cref="StepAnswer"/>.</summary>
/// <param name="plan">The rank's part.</param>
/// <param name="maxOutputCount">Outputs of the largest step.</param>
internal sealed class StepPieces(ShardPlan plan, int maxOutputCount)
{
    private readonly int[] _offsets = new int[maxOutputCount]; // [output]
    private byte[] _answer = [];
    private int _length;

    /// <summary>Makes room for the pieces of a step.</summary>
    public void Begin(ReadOnlySpan<StepOutput> outputs)
    {
        _length = StepAnswer.HeaderByteCount;
        for (var output = 0; output < outputs.Length; output++)
        {
            _offsets[output] = _length;
            _length = checked(_length + LogitsPiece.ByteCount(plan, outputs[output].Detail));
        }

        StepAnswer.Reserve(ref _answer, _length);
    }

    /// <summary>Where the piece of an output is written; pieces may be written by several threads at once.</summary>
    /// <param name="output">The output.</param>
    /// <param name="detail">Its detail.</param>
    public LogitsPiece At(int output, LogitsDetail detail) => LogitsPiece.At(_answer.AsSpan(_offsets[output]), plan, detail);

    /// <summary>The whole answer, valid until the next step.</summary>
    /// <param name="bad">What was not finite.</param>
    public ReadOnlySpan<byte> Finish(BadPart bad)
    {
        bad.Write(_answer);
        return _answer.AsSpan(0, _length);
    }
}
