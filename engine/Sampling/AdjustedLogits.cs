using System.Numerics;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Sampling;

/// <summary>
/// A copy of a row of logits from which some tokens are taken and to which others are pushed: penalties and biases are added, and the logits of tokens that
/// a constraint forbids become minus infinity.
/// </summary>
internal sealed unsafe class AdjustedLogits(KernelSet kernels)
{
    private float[] _logits = [];

    /// <summary>[vocabulary]</summary>
    public ReadOnlySpan<float> Values => _logits;

    /// <summary>Begins with the model's logits.</summary>
    /// <param name="row">[vocabulary], the same length each time.</param>
    public void Begin(ReadOnlySpan<float> row)
    {
        if (_logits.Length != row.Length)
        {
            _logits = new float[row.Length];
        }

        row.CopyTo(_logits);
    }

    /// <summary>logit += bias.</summary>
    public void Add(IReadOnlyDictionary<int, float> biases)
    {
        foreach (var (tokenId, bias) in biases)
        {
            _logits[tokenId] += bias;
        }
    }

    /// <summary>logit -= count x frequency + presence, for the tokens that the answer has (OpenAI's formula).</summary>
    /// <param name="counts">How often, of each token that it has.</param>
    /// <param name="frequency">See <paramref name="counts"/>.</param>
    /// <param name="presence">Once a token, however often.</param>
    public void Penalize(Dictionary<int, int> counts, float frequency, float presence)
    {
        foreach (var (tokenId, count) in counts)
        {
            _logits[tokenId] -= (count * frequency) + presence;
        }
    }

    /// <summary>Keeps the allowed tokens only.</summary>
    /// <param name="constraint">What the answer must match.</param>
    /// <param name="stopTokenIds">Allowed where the answer may end, and forbidden elsewhere.</param>
    public void Keep(TokenConstraint constraint, ReadOnlySpan<int> stopTokenIds)
    {
        Span<float> stopLogits = stackalloc float[Math.Min(stopTokenIds.Length, 64)];
        stopTokenIds = stopTokenIds[..stopLogits.Length];
        for (var i = 0; i < stopTokenIds.Length; i++)
        {
            stopLogits[i] = IsToken(stopTokenIds[i]) ? _logits[stopTokenIds[i]] : 0;
        }

        var allowed = constraint.AllowedTokens();
        for (var word = 0; word * 64 < _logits.Length; word++)
        {
            var forbidden = word < allowed.Length ? ~allowed[word] : ulong.MaxValue;
            var group = _logits.AsSpan(word * 64, Math.Min(64, _logits.Length - (word * 64)));
            if (forbidden == ulong.MaxValue)
            {
                group.Fill(float.NegativeInfinity);
                continue;
            }

            for (; forbidden != 0; forbidden &= forbidden - 1)
            {
                var bit = BitOperations.TrailingZeroCount(forbidden);
                if (bit < group.Length)
                {
                    group[bit] = float.NegativeInfinity;
                }
            }
        }

        var canEnd = constraint.CanEnd;
        for (var i = 0; i < stopTokenIds.Length; i++)
        {
            if (IsToken(stopTokenIds[i]))
            {
                _logits[stopTokenIds[i]] = canEnd ? stopLogits[i] : float.NegativeInfinity;
            }
        }
    }

    /// <summary>The greatest logit, minus infinity where no token is left; sums as the leader has them of a row that nobody adjusted.</summary>
    public LogitsGroup Summarize(float temperature)
    {
        fixed (float* logits = _logits)
        {
            return kernels.Summarize(logits, _logits.Length, temperature);
        }
    }

    /// <summary>The token of this logit, the lowest id among equal ones.</summary>
    public int IndexOf(float logit) => Values.IndexOf(logit);

    /// <summary>Writes the greatest logits, descending, equal ones by ascending id.</summary>
    /// <returns>How many there are: as many as there is room for, or the whole vocabulary.</returns>
    public int Greatest(Span<int> tokenIds, Span<float> logits)
    {
        fixed (float* values = _logits)
        {
            return LogitsKernel.KeepGreatest(values, _logits.Length, 0, tokenIds, logits, 0);
        }
    }

    private bool IsToken(int tokenId) => (uint)tokenId < (uint)_logits.Length;
}
