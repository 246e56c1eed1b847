namespace Distributed.Engine.Sampling;

/// <summary>
/// Walks a row of logits as the leader's candidates are sorted: descending, ties by ascending token id. Logits are dealt into buckets of like size, and a bucket is sorted
/// when the walk comes to it, so a walk that ends early has sorted little.
/// </summary>
internal sealed class DescendingOrder
{
    private const int BucketBits = 14; // sign, exponent and five more bits of a float
    private const int BucketCount = 1 << BucketBits;

    private readonly int[] _ends = new int[BucketCount]; // [bucket], behind its last key
    private ulong[] _keys = []; // in buckets: the logit turned over so that greater ones come first, and the token id
    private ulong[] _unordered = [];
    private int[] _tokenIds = [];
    private int _length;
    private int _next; // the first key that the walk has not come to

    /// <summary>Begins to walk a row.</summary>
    /// <param name="logits">[vocabulary], no NaN.</param>
    public void Begin(ReadOnlySpan<float> logits)
    {
        if (_keys.Length < logits.Length)
        {
            _keys = new ulong[logits.Length];
            _unordered = new ulong[logits.Length];
            _tokenIds = new int[logits.Length];
        }

        (_length, _next) = (logits.Length, 0);
        Array.Clear(_ends);
        for (var tokenId = 0; tokenId < logits.Length; tokenId++)
        {
            var key = ((ulong)Key(logits[tokenId]) << 32) | (uint)tokenId;
            _unordered[tokenId] = key;
            _ends[Bucket(key)]++;
        }

        var start = 0;
        for (var bucket = 0; bucket < BucketCount; bucket++)
        {
            (start, _ends[bucket]) = (start + _ends[bucket], start); // for now where its next key goes
        }

        foreach (var key in _unordered.AsSpan(0, logits.Length))
        {
            _keys[_ends[Bucket(key)]++] = key;
        }
    }

    /// <summary>The next token ids of the walk, one or more, valid until the next call; empty at the end.</summary>
    public ReadOnlySpan<int> Next()
    {
        if (_next == _length)
        {
            return [];
        }

        var start = _next;
        _next = _ends[Bucket(_keys[start])];
        _keys.AsSpan(start, _next - start).Sort();
        for (var place = start; place < _next; place++)
        {
            _tokenIds[place] = (int)(uint)_keys[place];
        }

        return _tokenIds.AsSpan(start, _next - start);
    }

    /// <summary>
    /// An unsigned number that falls as the logit grows: its bits, all but the sign turned over where that is positive. Adding 0 makes one of -0 and +0.
    /// </summary>
    public static uint Key(float logit)
    {
        var bits = BitConverter.SingleToInt32Bits(logit + 0f);
        return (uint)(bits ^ (~(bits >> 31) & int.MaxValue));
    }

    private static int Bucket(ulong key) => (int)(key >> (64 - BucketBits));
}
