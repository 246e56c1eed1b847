using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

/// <summary>
/// The canonical arithmetic once more, written from its definition in docs/engine.md: one element at a time, no lanes, no tiles, no code
/// shared with the kernels.
/// </summary>
internal static class Oracle
{
    /// <summary>A dot product of one group; <paramref name="paired"/> is the order of 16-bit weights.</summary>
    public static float Dot(ReadOnlySpan<float> weights, ReadOnlySpan<float> x, bool paired)
    {
        var lanes = new float[16];
        var block = paired ? 32 : 16;
        var padded = (weights.Length + block - 1) / block * block;
        for (var k = 0; k < padded; k++)
        {
            var lane = paired ? k % 32 / 2 : k % 16;
            var (w, v) = k < weights.Length ? (weights[k], x[k]) : (0f, 0f);
            lanes[lane] = MathF.FusedMultiplyAdd(w, v, lanes[lane]);
        }

        return LaneTree(lanes);
    }

    /// <summary>(lane j + lane j+8), then +4, +2, +1.</summary>
    public static float LaneTree(float[] lanes)
    {
        var sums = (float[])lanes.Clone();
        for (var distance = 8; distance >= 1; distance /= 2)
        {
            for (var j = 0; j < distance; j++)
            {
                sums[j] += sums[j + distance];
            }
        }

        return sums[0];
    }

    /// <summary>Neighbours, then neighbours of those.</summary>
    public static float GroupTree(IReadOnlyList<float> groups)
    {
        var sums = groups.ToArray();
        while (sums.Length > 1)
        {
            sums = [.. Enumerable.Range(0, sums.Length / 2).Select(i => sums[2 * i] + sums[(2 * i) + 1])];
        }

        return sums[0];
    }

    /// <summary>One output of a linear layer.</summary>
    public static float Row(float[] weights, float[] x, int groupCount, bool paired)
    {
        var length = weights.Length / groupCount;
        return GroupTree(
        [
            .. Enumerable.Range(0, groupCount)
                .Select(group => Dot(weights.AsSpan(group * length, length), x.AsSpan(group * length, length), paired)),
        ]);
    }

    /// <summary>One output of a linear layer of bfloat16 weights whose activations are rounded to bfloat16: VDPBF16PS pair by pair.</summary>
    public static float RoundedRow(float[] weights, float[] x, int groupCount)
    {
        var length = weights.Length / groupCount;
        return GroupTree([.. Enumerable.Range(0, groupCount).Select(group => RoundedDot(weights.AsSpan(group * length, length), x.AsSpan(group * length, length)))]);
    }

    private static float RoundedDot(ReadOnlySpan<float> weights, ReadOnlySpan<float> x)
    {
        var lanes = new float[16];
        for (var start = 0; start < (weights.Length + 31) / 32 * 32; start += 2)
        {
            for (var k = start + 1; k >= start; k--)
            {
                var (w, v) = k < weights.Length ? (weights[k], NearestBFloat16OrNotFinite(x[k])) : (0f, 0f);
                lanes[start % 32 / 2] = FlushingMultiplyAdd(w, v, lanes[start % 32 / 2]);
            }
        }

        return LaneTree(lanes);
    }

    // Denormal operands are zeros, and so is a result that is below 2^-126 when it is rounded to 24 bits whatever its exponent. With small results no operand is so large that
    // scaling it would overflow.
    private static float FlushingMultiplyAdd(float w, float x, float sum)
    {
        (w, x) = (float.IsSubnormal(w) ? w * 0 : w, float.IsSubnormal(x) ? x * 0 : x);
        var result = MathF.FusedMultiplyAdd(w, x, sum);
        if (!float.IsSubnormal(result) && MathF.Abs(result) != MathF.ScaleB(1, -126))
        {
            return result;
        }

        var scaled = MathF.FusedMultiplyAdd(MathF.ScaleB(w, 40), MathF.ScaleB(x, 40), MathF.ScaleB(sum, 80));
        return MathF.Abs(scaled) < MathF.ScaleB(1, -46) ? result * 0 : result;
    }

    private static float NearestBFloat16OrNotFinite(float value)
        => !float.IsFinite(value) ? value : MathF.Abs(value) >= BitConverter.UInt32BitsToSingle(0x7F7F8000) ? MathF.CopySign(float.PositiveInfinity, value) : NearestBFloat16(value);

    /// <summary>exp by the steps of its definition.</summary>
    public static float Exp(float x)
    {
        x = Math.Clamp(x, -104f, 89f);
        var n = MathF.FusedMultiplyAdd(x, 1.44269504f, 12582912f) - 12582912f;
        var r = MathF.FusedMultiplyAdd(n, 2.12194440e-4f, MathF.FusedMultiplyAdd(n, -0.693359375f, x));
        var q = 0.0013814539962f;
        foreach (var coefficient in (ReadOnlySpan<float>)[0.0083687451104f, 0.041668390788f, 0.16666520399f, 0.49999993432f])
        {
            q = MathF.FusedMultiplyAdd(q, r, coefficient);
        }

        var half = (int)MathF.Round(n / 2, MidpointRounding.ToEven);
        return (MathF.FusedMultiplyAdd(q, r * r, r) + 1f) * MathF.ScaleB(1f, half) * MathF.ScaleB(1f, (int)n - half);
    }

    /// <summary>x / sqrt(mean(x^2) + epsilon) * weight.</summary>
    public static float[] RmsNorm(float[] x, float[] weight, float epsilon)
    {
        var scale = 1f / MathF.Sqrt((Dot(x, x, paired: false) / x.Length) + epsilon);
        return [.. x.Select((value, i) => value * scale * weight[i])];
    }

    /// <summary>Sum in 16 lanes and their tree, padded with zeros.</summary>
    public static float LaneSum(IReadOnlyList<float> values)
    {
        var lanes = new float[16];
        for (var i = 0; i < (values.Count + 15) / 16 * 16; i++)
        {
            lanes[i % 16] += i < values.Count ? values[i] : 0f;
        }

        return LaneTree(lanes);
    }

    /// <summary>One head's attention over [position, dimension] keys and values.</summary>
    public static float[] Attend(float[] query, float[][] keys, float[][] values, float scale, CacheFormat format = CacheFormat.Float32)
    {
        var (keyScales, valueScales) = (keys.Select(_ => 1f).ToArray(), values.Select(_ => 1f).ToArray());
        if (format != CacheFormat.Float32)
        {
            (keys, keyScales) = Kept(keys, format);
            (values, valueScales) = Kept(values, format);
        }

        var (m, l, a) = (0f, 0f, new float[query.Length]);
        for (var start = 0; start < keys.Length; start += 64)
        {
            var block = Enumerable.Range(start, Math.Min(64, keys.Length - start)).ToArray();
            var scores = block.Select(i => Dot(keys[i], query, paired: false) * keyScales[i] * scale).ToArray();
            var m2 = scores.Max();
            var weights = scores.Select(score => Exp(score - m2)).ToArray();
            var l2 = LaneSum(weights);
            var a2 = new float[query.Length];
            for (var i = 0; i < block.Length; i++)
            {
                for (var d = 0; d < a2.Length; d++)
                {
                    a2[d] = MathF.FusedMultiplyAdd(weights[i] * valueScales[block[i]], values[block[i]][d], a2[d]);
                }
            }

            if (start == 0)
            {
                (m, l, a) = (m2, l2, a2);
                continue;
            }

            var maximum = Math.Max(m, m2);
            var (keep, take) = (Exp(m - maximum), Exp(m2 - maximum));
            l = MathF.FusedMultiplyAdd(l2, take, l * keep);
            a = [.. a.Select((value, d) => MathF.FusedMultiplyAdd(a2[d], take, value * keep))];
            m = maximum;
        }

        var factor = 1f / l;
        return [.. a.Select(value => value * factor)];
    }

    // What the cache has of vectors, and their scales.
    private static (float[][] Rows, float[] Scales) Kept(float[][] rows, CacheFormat format)
    {
        if (format == CacheFormat.BFloat16)
        {
            return ([.. rows.Select(row => row.Select(NearestBFloat16).ToArray())], [.. rows.Select(_ => 1f)]);
        }

        var greatest = rows.Select(row => row.Max(MathF.Abs)).ToArray();
        return ([.. rows.Zip(greatest, (row, max) => row.Select(x => MathF.Round(x * (127 / max))).ToArray())], [.. greatest.Select(max => max / 127)]);
    }

    private static float NearestBFloat16(float value)
    {
        var below = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);
        var above = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000) + 0x10000);
        var (toBelow, toAbove) = (Math.Abs((double)value - below), Math.Abs((double)value - above));
        var belowIsEven = (BitConverter.SingleToUInt32Bits(below) & 0x10000) == 0;
        return toBelow < toAbove || (toBelow == toAbove && belowIsEven) ? below : above;
    }
}
