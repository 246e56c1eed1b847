using Distributed.Engine.Kernels;

namespace Distributed.Engine.Sampling;

/// <summary>
/// A draw that is not decided among a row's candidates, where all tokens are kept: the others follow in the order of their ids, a block at a time of which
/// only the mass is computed, until the block is reached in which the draw falls.
/// </summary>
/// <remarks>A row of random weights has 32000 tokens of like probability: to walk them one by one took a tenth of a step of 16 such rows.</remarks>
internal sealed unsafe class RowTail(KernelSet kernels)
{
    private const int BlockLength = 512;

    private float[] _logits = []; // of the others; minus infinity for the candidates

    /// <summary>Draws one of the others.</summary>
    /// <param name="row">[vocabulary]</param>
    /// <param name="candidates">The ids of the first in the order.</param>
    /// <param name="nucleus">Holds the candidates, and does not decide.</param>
    /// <param name="unit">Uniform in (0, 1): the token is drawn with which the mass exceeds it.</param>
    /// <returns>The token; the last of the walk where rounding leaves the mass of all below <paramref name="unit"/>; -1 where there is no other.</returns>
    public (int TokenId, float Logit) Draw(ReadOnlySpan<float> row, ReadOnlySpan<int> candidates, Nucleus nucleus, double unit)
    {
        if (_logits.Length != row.Length)
        {
            _logits = new float[row.Length];
        }

        row.CopyTo(_logits);
        foreach (var candidate in candidates)
        {
            _logits[candidate] = float.NegativeInfinity;
        }

        var mass = nucleus.Mass;
        var last = -1;
        for (var start = 0; start < row.Length; start += BlockLength)
        {
            var block = _logits.AsSpan(start, Math.Min(BlockLength, row.Length - start));
            var blockMass = MassOf(block, nucleus);
            if (mass + blockMass <= unit)
            {
                mass += blockMass;
                continue;
            }

            for (var index = 0; index < block.Length; index++)
            {
                if (nucleus.ProbabilityOf(block[index]) is var probability and > 0)
                {
                    (mass, last) = (mass + probability, start + index);
                    if (mass > unit)
                    {
                        return (last, row[last]);
                    }
                }
            }
        }

        // The masses of all fell short of the unit by a rounding.
        for (var index = row.Length - 1; last < 0 && index >= 0; index--)
        {
            last = nucleus.ProbabilityOf(_logits[index]) > 0 ? index : -1;
        }

        return last < 0 ? (-1, 0) : (last, row[last]);
    }

    private double MassOf(ReadOnlySpan<float> block, Nucleus nucleus)
    {
        fixed (float* logits = block)
        {
            var group = kernels.Summarize(logits, block.Length, nucleus.Temperature);
            return float.IsNegativeInfinity(group.Maximum) ? 0 : (double)group.ScaledSum * nucleus.ProbabilityOf(group.Maximum);
        }
    }
}
