using Distributed.Engine.Kernels;

namespace Distributed.Engine.Sampling;

/// <summary>
/// A draw from a nucleus of many tokens without sorting the row: the token at which it ends, and then the one that is drawn, are found by dealing the logits
/// into buckets of like size, with the mass of each, and looking again into the one bucket that matters.
/// </summary>
/// <remarks>
/// Its bits are those of the walk over the sorted row. That adds probabilities up in descending order; here they are added up in another one, which is the same as long
/// as no sum is rounded: floats of at least 2^-29 are multiples of 2^-52, so sums of them below 2 are exact in a double. A nucleus that reaches below that is left to the walk.
/// A row of random weights has 128,256 tokens of like probability: to sort it took 9 ms.
/// </remarks>
internal sealed unsafe class NucleusSelection(KernelSet kernels)
{
    private const int KeyBits = 32;
    private const int BucketBits = 11;
    private const int BucketCount = 1 << BucketBits;
    private const int RowShift = KeyBits - BucketBits; // buckets of the whole row: by the first bits of a logit's key
    private const int FewCount = 64; // are sorted
    private const float LeastProbability = 1f / (1 << 29);

    private readonly double[] _masses = new double[BucketCount]; // [bucket] of the whole row
    private readonly double[] _parts = new double[BucketCount]; // [bucket] of one bucket's members
    private readonly ulong[] _few = new ulong[FewCount];
    private float[] _probabilities = []; // [vocabulary]
    private int[] _members = []; // token ids of one bucket, ascending

    /// <summary>Draws a token of the row; false where rounding would show, and nothing is drawn.</summary>
    /// <param name="row">[vocabulary], no NaN.</param>
    /// <param name="nucleus">Of this row, with a top-p below 1; what it was fed so far does not matter.</param>
    /// <param name="unit">As in <see cref="Nucleus.Draw"/>.</param>
    /// <param name="drawn">The token, and its logit.</param>
    public bool TryDraw(ReadOnlySpan<float> row, Nucleus nucleus, double unit, out (int TokenId, float Logit) drawn)
    {
        if (_probabilities.Length != row.Length)
        {
            _probabilities = new float[row.Length];
            _members = new int[row.Length];
        }

        nucleus.Probabilities(kernels, row, _probabilities);
        Deal(row);
        drawn = (-1, 0);
        if (Find(row, nucleus.TopP, double.PositiveInfinity) is not { } end || Find(row, float.PositiveInfinity, unit * end.Mass) is not { } found)
        {
            return false;
        }

        drawn = (found.TokenId, row[found.TokenId]);
        return true;
    }

    // In descending order, the first token that lies outside of a nucleus of topP, or with which the mass exceeds the target; with the mass of all before it.
    private (int TokenId, double Mass)? Find(ReadOnlySpan<float> row, float topP, double target)
    {
        var mass = 0.0;
        for (var bucket = 0; bucket < BucketCount; bucket++)
        {
            // What holds of its last token may hold of one before it, and does of no token of the buckets before.
            var behind = mass + _masses[bucket];
            if (_masses[bucket] > 0 && ((float)behind > topP || behind > target))
            {
                var members = Members(row, bucket);
                var least = Least(row, members, RowShift, bucket);
                if (least < LeastProbability)
                {
                    return null;
                }

                if ((float)behind - least > topP || behind > target)
                {
                    return FindAmong(row, members, RowShift, topP, target, mass);
                }
            }

            mass = behind;
        }

        return null;
    }

    // The same among tokens whose keys agree in all bits from the shift on: one of them is it.
    private (int TokenId, double Mass)? FindAmong(ReadOnlySpan<float> row, Span<int> members, int shift, float topP, double target, double mass)
    {
        while (members.Length > FewCount && shift > 0)
        {
            shift = Math.Max(0, shift - BucketBits);
            Array.Clear(_parts);
            foreach (var tokenId in members)
            {
                _parts[Bucket(row[tokenId], shift)] += _probabilities[tokenId];
            }

            var bucket = 0;
            for (; bucket < BucketCount; bucket++)
            {
                var behind = mass + _parts[bucket];
                if (_parts[bucket] > 0 && (behind > target || ((float)behind > topP && (float)behind - Least(row, members, shift, bucket) > topP)))
                {
                    break;
                }

                mass = behind;
            }

            members = members[..Keep(row, members, shift, bucket)];
        }

        return Walk(row, members, topP, target, mass);
    }

    private (int TokenId, double Mass)? Walk(ReadOnlySpan<float> row, ReadOnlySpan<int> members, float topP, double target, double mass)
    {
        // Members of the last bits are equal, and come by their ids as they are.
        var isFew = members.Length <= FewCount;
        for (var index = 0; isFew && index < members.Length; index++)
        {
            _few[index] = ((ulong)DescendingOrder.Key(row[members[index]]) << 32) | (uint)members[index];
        }

        _few.AsSpan(0, isFew ? members.Length : 0).Sort();
        for (var index = 0; index < members.Length; index++)
        {
            var tokenId = isFew ? (int)(uint)_few[index] : members[index];
            var behind = mass + _probabilities[tokenId];
            if ((float)behind - _probabilities[tokenId] > topP || behind > target)
            {
                return (tokenId, mass);
            }

            mass = behind;
        }

        return null;
    }

    // The mass of each bucket of the whole row; every other token in a table of its own, so that one sum need not wait for the one before it.
    private void Deal(ReadOnlySpan<float> row)
    {
        Array.Clear(_masses);
        Array.Clear(_parts);
        var probabilities = _probabilities.AsSpan(0, row.Length);
        for (var tokenId = 0; tokenId + 1 < row.Length; tokenId += 2)
        {
            _masses[Bucket(row[tokenId], RowShift)] += probabilities[tokenId];
            _parts[Bucket(row[tokenId + 1], RowShift)] += probabilities[tokenId + 1];
        }

        if ((row.Length & 1) != 0)
        {
            _masses[Bucket(row[^1], RowShift)] += probabilities[^1];
        }

        for (var bucket = 0; bucket < BucketCount; bucket++)
        {
            _masses[bucket] += _parts[bucket];
        }
    }

    // The tokens of one bucket of the whole row.
    private Span<int> Members(ReadOnlySpan<float> row, int bucket)
    {
        var found = 0;
        for (var tokenId = 0; tokenId < row.Length; tokenId++)
        {
            _members[found] = tokenId;
            found += Bucket(row[tokenId], RowShift) == bucket ? 1 : 0;
        }

        return _members.AsSpan(0, found);
    }

    // Of some tokens those of a bucket come to the front; how many there are.
    private static int Keep(ReadOnlySpan<float> row, Span<int> members, int shift, int bucket)
    {
        var found = 0;
        foreach (var tokenId in members)
        {
            members[found] = tokenId;
            found += Bucket(row[tokenId], shift) == bucket ? 1 : 0;
        }

        return found;
    }

    // The least probability in a bucket of some tokens: that of its last token.
    private float Least(ReadOnlySpan<float> row, ReadOnlySpan<int> members, int shift, int bucket)
    {
        var least = float.PositiveInfinity;
        foreach (var tokenId in members)
        {
            least = Bucket(row[tokenId], shift) == bucket ? Math.Min(least, _probabilities[tokenId]) : least;
        }

        return least;
    }

    private static int Bucket(float logit, int shift) => (int)(DescendingOrder.Key(logit) >> shift) & (BucketCount - 1);
}
