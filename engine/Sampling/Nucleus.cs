using Distributed.Engine.Kernels;

namespace Distributed.Engine.Sampling;

/// <summary>
/// The nucleus of one row's distribution: the most probable tokens whose mass reaches top-p, from which one is drawn
/// (Holtzman et al., "The curious case of neural text degeneration", ICLR 2020).
/// </summary>
/// <remarks>
/// <para>The rule is the reference's (meta-llama/llama generation.py, sample_top_p), to the bit: with probabilities p sorted
/// in descending order, drop token i if and only if cumsum_i - p_i &gt; top_p in float32, where cumsum accumulates in double and rounds
/// each sum to float32, as torch does on a CPU. So the token that crosses top_p is kept, and top_p = 0 keeps exactly one. cumsum does not
/// fall and p does not rise, hence the dropped tokens are a suffix, and the walk may end at the first.</para>
/// <para>Tokens are fed in descending order of logit, ties by ascending id, from the leader's candidates or from a sorted row: both
/// walk the same numbers, so the draw has the same bits either way.</para>
/// </remarks>
internal sealed class Nucleus
{
    private int[] _tokenIds = new int[64];
    private float[] _logits = new float[64];
    private double[] _masses = new double[64]; // probability of this token and all before it
    private float _maximum;
    private float _sum;

    /// <summary>Number of tokens kept.</summary>
    public int Count { get; private set; }

    /// <summary>Divides the logits.</summary>
    public float Temperature { get; private set; }

    /// <summary>Mass to keep.</summary>
    public float TopP { get; private set; }

    /// <summary>Probability of all tokens kept.</summary>
    public double Mass => Count == 0 ? 0 : _masses[Count - 1];

    /// <summary>Begins a row.</summary>
    /// <param name="temperature">Divides the logits; above 0.</param>
    /// <param name="maximum">The largest logit / temperature of the whole row.</param>
    /// <param name="sum">Sum over the whole row of exp(logit / temperature - maximum).</param>
    /// <param name="topP">Mass to keep, 0 to 1.</param>
    public void Begin(float temperature, float maximum, float sum, float topP)
    {
        (Temperature, _maximum, _sum, TopP) = (temperature, maximum, sum, topP);
        Count = 0;
    }

    /// <summary>Feeds the next token; <see langword="false"/> if it, and thus every later one, is outside the nucleus.</summary>
    public bool TryAdd(int tokenId, float logit) => TryAdd(tokenId, logit, ProbabilityOf(logit));

    /// <summary>The probability of a token of the row.</summary>
    public float ProbabilityOf(float logit) => Exponential.Exp((logit / Temperature) - _maximum) / _sum;

    /// <summary>The probabilities of all tokens of the row, each with the bits of <see cref="ProbabilityOf"/>.</summary>
    public unsafe void Probabilities(KernelSet kernels, ReadOnlySpan<float> row, Span<float> probabilities)
    {
        fixed (float* logits = row, result = probabilities[..row.Length])
        {
            kernels.Probabilities(logits, result, row.Length, Temperature, _maximum, _sum);
        }
    }

    /// <summary>Feeds the next token by its probability.</summary>
    /// <inheritdoc cref="TryAdd(int, float)"/>
    public bool TryAdd(int tokenId, float logit, float probability)
    {
        var mass = Mass + probability;
        if ((float)mass - probability > TopP)
        {
            return false;
        }

        if (Count == _tokenIds.Length)
        {
            Array.Resize(ref _tokenIds, Count * 2);
            Array.Resize(ref _logits, Count * 2);
            Array.Resize(ref _masses, Count * 2);
        }

        _tokenIds[Count] = tokenId;
        _logits[Count] = logit;
        _masses[Count] = mass;
        Count++;
        return true;
    }

    /// <summary>
    /// Whether <see cref="Draw"/> gives the same whatever is fed from here on: where all tokens are kept their mass is 1, so the walk may end as soon as it has
    /// passed <paramref name="unit"/>.
    /// </summary>
    public bool Decides(double unit) => TopP >= 1 && _masses[Count - 1] > unit;

    /// <summary>
    /// Draws a token in proportion to its probability: the first whose cumulated mass exceeds <paramref name="unit"/> of the nucleus' mass, which is
    /// 1 where all tokens are kept.
    /// </summary>
    /// <param name="unit">Uniform in (0, 1), from <see cref="RowRandom"/>.</param>
    public (int TokenId, float Logit) Draw(double unit)
    {
        var mass = _masses[Count - 1];
        var target = TopP >= 1 && mass > unit ? unit : unit * mass; // rounding may leave the mass of all below 1
        var first = 0;
        for (var last = Count - 1; first < last;)
        {
            var middle = (first + last) / 2;
            (first, last) = _masses[middle] > target ? (first, middle) : (middle + 1, last);
        }

        return (_tokenIds[first], _logits[first]);
    }
}
