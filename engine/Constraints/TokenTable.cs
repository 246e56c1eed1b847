using System.Numerics;

namespace Distributed.Engine.Constraints;

/// <summary>What each token does at one node of a grammar, whatever is below it. Immutable.</summary>
internal sealed class TokenTable
{
    private readonly ulong[]? _mask;    // where many are allowed
    private readonly int[] _tokens = []; // where few are

    /// <param name="mask">The tokens that stay within the node's rule or what it calls; kept.</param>
    /// <param name="leaving">The nodes of the tokens' tree at which the rule may end.</param>
    /// <param name="reach">The greatest depth that some token needs, counted from below the rule.</param>
    public TokenTable(ulong[] mask, int[] leaving, int reach)
    {
        (Leaving, Reach) = (leaving, reach);
        if (mask.Sum(BitOperations.PopCount) > mask.Length)
        {
            _mask = mask;
            return;
        }

        var tokens = new List<int>();
        for (var word = 0; word < mask.Length; word++)
        {
            for (var rest = mask[word]; rest != 0; rest &= rest - 1)
            {
                tokens.Add((word * 64) + BitOperations.TrailingZeroCount(rest));
            }
        }

        _tokens = [.. tokens];
    }

    public int[] Leaving { get; }

    public int Reach { get; }

    public long ByteCount => 200 + ((_mask?.Length ?? 0) * sizeof(ulong)) + ((_tokens.Length + Leaving.Length) * sizeof(int));

    public void AddTo(Span<ulong> mask)
    {
        for (var word = 0; word < _mask?.Length; word++)
        {
            mask[word] |= _mask[word];
        }

        foreach (var token in _tokens)
        {
            mask[token >> 6] |= 1ul << token;
        }
    }
}
