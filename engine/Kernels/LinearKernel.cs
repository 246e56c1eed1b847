using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// y[token, row] = sum over groups, by the group tree, of sum over k of W[row, group, k] * x[token, group, k].
/// </summary>
/// <remarks>
/// <para>The canonical dot product of a group: lane j of 16 starts from +0 and takes its elements in ascending order by fused
/// multiply-add (which they are, see <see cref="IWeightFormat"/>); the last block is padded with zeros; then the lane tree of
/// <see cref="ILanes{TSelf}"/>. The group tree adds neighbours, then neighbours of those.</para>
/// <para><see cref="LinearRows"/> and <see cref="LinearBlocks{TLanes, TFormat}"/> compute several of these sums side by side and change none of
/// them, so a token has the same bits alone and among others.</para>
/// </remarks>
internal static unsafe class LinearKernel
{
    private const int BlockByteCount = 64;

    /// <summary>The number of elements of a group with its padding.</summary>
    public static int PaddedLength(int groupLength, int elementSize)
    {
        var block = BlockByteCount / elementSize;
        return (groupLength + block - 1) / block * block;
    }

    /// <summary>Computes the outputs of rows [<paramref name="rowStart"/>, <paramref name="rowEnd"/>) for all tokens.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TLanes, TFormat>(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var padding = stackalloc byte[4 * BlockByteCount];
        new Span<byte>(padding, 4 * BlockByteCount).Clear();
        var rows = new LinearRows(weights, inputs, TFormat.ElementSize, padding);
        if (inputs.TokenCount == 1)
        {
            MultiplyRows<TLanes, TFormat>(ref rows, weights, inputs, outputs, rowStart, rowEnd, 0);
            return;
        }

        var scratch = stackalloc byte[LinearBlocks<TLanes, TFormat>.ScratchByteCount];
        var blocks = new LinearBlocks<TLanes, TFormat>(weights, inputs, outputs, scratch);
        var inBlocks = LinearBlocks<TLanes, TFormat>.TokensInTiles(inputs.TokenCount);
        const int BlockLength = LinearBlocks<TLanes, TFormat>.BlockLength;
        for (var row = rowStart; row < rowEnd; row += BlockLength)
        {
            // All tokens pass over a block of rows before the next one: memory gives each row once.
            var rowCount = Math.Min(BlockLength, rowEnd - row);
            var wholeRowCount = rowCount & ~3;
            for (var token = 0; token < inBlocks && wholeRowCount > 0; token += BlockLength)
            {
                blocks.Multiply(row, wholeRowCount, token, Math.Min(BlockLength, inBlocks - token));
            }

            MultiplyRows<TLanes, TFormat>(ref rows, weights, inputs, outputs, row, row + wholeRowCount, inBlocks);
            MultiplyRows<TLanes, TFormat>(ref rows, weights, inputs, outputs, row + wholeRowCount, row + rowCount, 0);
        }
    }

    // Token by token.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyRows<TLanes, TFormat>(
        ref LinearRows rows,
        in LinearWeights weights,
        in LinearInputs inputs,
        in LinearOutputs outputs,
        int rowStart,
        int rowEnd,
        int tokenStart)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var quadsEnd = IsStream(weights, inputs, TFormat.ElementSize) ? rowStart : rowEnd;
        for (var token = tokenStart; token < inputs.TokenCount; token++)
        {
            rows.Inputs = inputs.Token(token);
            var row = rowStart;
            for (; row + 4 <= quadsEnd; row += 4)
            {
                rows.Weights = (byte*)weights.Data + (row * weights.RowByteCount);
                TLanes.StoreFirsts(rows.Sum4x1<TLanes, TFormat>(weights.GroupCount), outputs.Token(token) + row);
            }

            for (; row < rowEnd; row++)
            {
                rows.Weights = (byte*)weights.Data + (row * weights.RowByteCount);
                outputs.Token(token)[row] = TLanes.First(rows.Sum1x1<TLanes, TFormat>(weights.GroupCount));
            }
        }
    }

    // One token, long rows, and activations that stay in the first-level cache whatever streams past them: then row after row is the stream
    // that the prefetchers of the hardware follow best (one thread: 90 to 96 % of a read-sum where four rows side by side reach 62 to 76 %). Parts
    // of longer rows, as a rank has them of wo and w2, are no stream.
    private static bool IsStream(in LinearWeights weights, in LinearInputs inputs, int elementSize)
    {
        var length = weights.GroupCount * weights.GroupLength;
        return inputs.TokenCount == 1
            && length is >= 512 and <= 2048
            && (weights.GroupCount == 1 || weights.RowByteCount == (nint)length * elementSize);
    }
}
