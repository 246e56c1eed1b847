using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>What the log-sum-exp of a whole row of logits needs to know of one canonical group of them.</summary>
/// <param name="Maximum">The greatest logit.</param>
/// <param name="Sum">Sum of exp(logit - Maximum).</param>
/// <param name="ScaledSum">Sum of exp(logit / temperature - Maximum / temperature); 0 where no temperature was given.</param>
internal readonly record struct LogitsGroup(float Maximum, float Sum, float ScaledSum)
{
    /// <summary>The group of both neighbours together: a node of the group tree.</summary>
    public static LogitsGroup Combine(LogitsGroup left, LogitsGroup right, float temperature)
    {
        var maximum = right.Maximum > left.Maximum ? right.Maximum : left.Maximum;
        var sum = (left.Sum * Exponential.Exp(left.Maximum - maximum)) + (right.Sum * Exponential.Exp(right.Maximum - maximum));
        if (temperature == 0)
        {
            return new LogitsGroup(maximum, sum, 0);
        }

        var scaled = maximum / temperature;
        return new LogitsGroup(
            maximum,
            sum,
            (left.ScaledSum * Exponential.Exp((left.Maximum / temperature) - scaled))
                + (right.ScaledSum * Exponential.Exp((right.Maximum / temperature) - scaled)));
    }
}

/// <summary>Reductions over a slice of the logits.</summary>
internal static unsafe class LogitsKernel
{
    /// <summary>Maximum and sums of logits [length], in 16 lanes and their tree.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static LogitsGroup Summarize<TLanes>(float* logits, int length, float temperature)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = length & ~15;
        var rest = length - whole;
        var greatest = TLanes.Create(float.NegativeInfinity);
        for (var i = 0; i < whole; i += 16)
        {
            greatest = TLanes.Greater(TLanes.Load(logits + i), greatest);
        }

        // Padding is minus infinity: it is never the greatest, and its exponential is zero.
        var last = rest > 0
            ? LaneOperations.Load<TLanes>(logits + whole, rest, float.NegativeInfinity)
            : TLanes.Create(float.NegativeInfinity);
        var maximum = LaneOperations.Max(TLanes.Greater(last, greatest));
        var shift = TLanes.Create(maximum);
        var sum = TLanes.Create(0);
        for (var i = 0; i < whole; i += 16)
        {
            sum += Exponential.Exp(TLanes.Load(logits + i) - shift);
        }

        sum += Exponential.Exp(last - shift);
        var scaledSum = temperature == 0 ? 0 : SumScaled(logits, whole, last, maximum, temperature);
        return new LogitsGroup(maximum, LaneOperations.Sum(sum), scaledSum);
    }

    /// <summary>y [length] = exp(logits / temperature - maximum) / sum, as one logit alone would give it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Probabilities<TLanes>(float* logits, float* y, int length, float temperature, float maximum, float sum)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var (divisor, shift, total) = (TLanes.Create(temperature), TLanes.Create(maximum), TLanes.Create(sum));
        var whole = length & ~15;
        for (var i = 0; i < whole; i += 16)
        {
            TLanes.Store(Exponential.Exp((TLanes.Load(logits + i) / divisor) - shift) / total, y + i);
        }

        for (var i = whole; i < length; i++)
        {
            y[i] = Exponential.Exp((logits[i] / temperature) - maximum) / sum;
        }
    }

    /// <summary>The first place of <paramref name="value"/> in logits [length]; -1 where it is not.</summary>
    public static int IndexOf(float* logits, int length, float value) => new ReadOnlySpan<float>(logits, length).IndexOf(value);

    /// <summary>
    /// Keeps the greatest logits seen: sorted in descending order, equal ones by ascending id.
    /// </summary>
    /// <param name="logits">[length]</param>
    /// <param name="length">Elements; their ids are greater than all ids already kept.</param>
    /// <param name="firstId">The id of logits[0].</param>
    /// <param name="ids">[capacity]</param>
    /// <param name="values">[capacity]</param>
    /// <param name="count">Entries kept so far.</param>
    /// <returns>Entries kept.</returns>
    public static int KeepGreatest(float* logits, int length, int firstId, Span<int> ids, Span<float> values, int count)
    {
        for (var i = 0; i < length; i++)
        {
            var logit = logits[i];
            if (count == ids.Length && !(logit > values[count - 1]))
            {
                continue;
            }

            var place = count < ids.Length ? count++ : count - 1;
            for (; place > 0 && logit > values[place - 1]; place--)
            {
                values[place] = values[place - 1];
                ids[place] = ids[place - 1];
            }

            values[place] = logit;
            ids[place] = firstId + i;
        }

        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float SumScaled<TLanes>(float* logits, int whole, TLanes last, float maximum, float temperature)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var divisor = TLanes.Create(temperature);
        var shift = TLanes.Create(maximum / temperature);
        var sum = TLanes.Create(0);
        for (var i = 0; i < whole; i += 16)
        {
            sum += Exponential.Exp((TLanes.Load(logits + i) / divisor) - shift);
        }

        return LaneOperations.Sum(sum + Exponential.Exp((last / divisor) - shift));
    }
}
