using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// What each rank of the last pipeline stage sends to rank 0 at the end of a step: a <see cref="BadPart"/> (8 bytes), then a <see cref="LogitsPiece"/> for
/// each output.
/// </summary>
internal static class StepAnswer
{
    /// <summary>Bytes before the pieces.</summary>
    public const int HeaderByteCount = BadPart.ByteCount;

    /// <summary>Bytes of an answer.</summary>
    public static int ByteCount(ShardPlan plan, ReadOnlySpan<StepOutput> outputs)
    {
        var length = HeaderByteCount;
        foreach (var output in outputs)
        {
            length = checked(length + LogitsPiece.ByteCount(plan, output.Detail));
        }

        return length;
    }

    /// <summary>Makes a reused buffer long enough; it grows by doubling, so steps of like size soon allocate nothing.</summary>
    public static void Reserve(ref byte[] buffer, int length)
    {
        if (buffer.Length < length)
        {
            buffer = new byte[Math.Max(length, 2 * buffer.Length)];
        }
    }
}
