using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// y[token, row] = sum over groups, by the group tree, of sum over k of W[row, group, k] * x[token, group, k].
/// </summary>
/// <remarks>
/// <para>The canonical dot product of a group: lane j of 16 starts from +0 and takes its elements in ascending order by fused
/// multiply-add (which they are, see <see cref="IWeightFormat"/>); the last block is padded with zeros; then the lane tree of
/// <see cref="ILanes{TSelf}"/>. The group tree adds neighbours, then neighbours of those.</para>
/// <para>A <em>tile</em> computes several of these sums side by side and changes none of them. Four rows by one token hide the
/// latency of the multiply-add when decoding, where memory sets the pace; four rows by four tokens (two by two where registers are
/// few) load each operand once for four products when prefilling, where arithmetic does.</para>
/// </remarks>
internal static unsafe class LinearKernel
{
    private const int BlockByteCount = 64;

    // The activations of a chunk of tokens stay in the second-level cache while row after row of the weights passes over them.
    private const int TokenChunkByteCount = 512 << 10;

    /// <summary>The number of elements of a group with its padding.</summary>
    public static int PaddedLength(int groupLength, int elementSize)
    {
        var block = BlockByteCount / elementSize;
        return (groupLength + block - 1) / block * block;
    }

    /// <summary>Computes the outputs of rows [<paramref name="rowStart"/>, <paramref name="rowEnd"/>) for all tokens.</summary>
    public static void Multiply<TLanes, TFormat>(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var padding = stackalloc byte[4 * BlockByteCount];
        new Span<byte>(padding, 4 * BlockByteCount).Clear();
        var tile = new LinearTile(weights, inputs, TFormat.ElementSize, padding);
        var chunk = (int)Math.Clamp(TokenChunkByteCount / (inputs.TokenStride * sizeof(float)), 4, inputs.TokenCount + 4) & ~3;
        for (var start = 0; start < inputs.TokenCount; start += chunk)
        {
            var end = Math.Min(inputs.TokenCount, start + chunk);
            var row = rowStart;
            for (; row + 4 <= rowEnd; row += 4)
            {
                tile.Weights = (byte*)weights.Data + (row * weights.RowByteCount);
                MultiplyFourRows<TLanes, TFormat>(ref tile, weights, inputs, outputs, row, start, end);
            }

            for (; row < rowEnd; row++)
            {
                tile.Weights = (byte*)weights.Data + (row * weights.RowByteCount);
                for (var token = start; token < end; token++)
                {
                    tile.Inputs = inputs.Token(token);
                    outputs.Token(token)[row] = TLanes.First(tile.Sum1x1<TLanes, TFormat>(0, weights.GroupCount));
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyFourRows<TLanes, TFormat>(
        ref LinearTile tile, in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int row, int start, int end)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var token = start;
        if (TLanes.HasLargeRegisterFile)
        {
            for (; token + 4 <= end; token += 4)
            {
                tile.Inputs = inputs.Token(token);
                TLanes.StoreQuarters(tile.Sum4x4<TLanes, TFormat>(0, weights.GroupCount), outputs.Token(token) + row, outputs.TokenStride);
            }
        }
        else
        {
            token = MultiplyPairs<TLanes, TFormat>(ref tile, weights, inputs, outputs, row, start, end);
        }

        for (; token < end; token++)
        {
            tile.Inputs = inputs.Token(token);
            TLanes.StoreFirsts(tile.Sum4x1<TLanes, TFormat>(0, weights.GroupCount), outputs.Token(token) + row);
        }
    }

    // Two rows, then the other two, against pairs of tokens; returns the token that has no pair.
    private static int MultiplyPairs<TLanes, TFormat>(
        ref LinearTile tile, in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int row, int start, int end)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var sums = stackalloc float[4]; // [token, row]
        var data = tile.Weights;
        var pairsEnd = start + ((end - start) & ~1);
        for (var half = 0; half < 4; half += 2)
        {
            tile.Weights = data + (half * weights.RowByteCount);
            for (var token = start; token < pairsEnd; token += 2)
            {
                tile.Inputs = inputs.Token(token);
                TLanes.StoreFirsts(tile.Sum2x2<TLanes, TFormat>(0, weights.GroupCount), sums);
                outputs.Token(token)[row + half] = sums[0];
                outputs.Token(token)[row + half + 1] = sums[1];
                outputs.Token(token + 1)[row + half] = sums[2];
                outputs.Token(token + 1)[row + half + 1] = sums[3];
            }
        }

        tile.Weights = data;
        return pairsEnd;
    }
}
