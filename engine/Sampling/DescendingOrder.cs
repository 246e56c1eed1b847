namespace Distributed.Engine.Sampling;

/// <summary>Sorts a row of logits as the leader's candidates are sorted: descending, ties by ascending token id.</summary>
internal sealed class DescendingOrder
{
    private ulong[] _keys = [];
    private int[] _tokenIds = [];

    /// <summary>The token ids of <paramref name="logits"/> in order; valid until the next call.</summary>
    /// <param name="logits">[vocabulary], finite.</param>
    public ReadOnlySpan<int> Sort(ReadOnlySpan<float> logits)
    {
        if (_keys.Length < logits.Length)
        {
            _keys = new ulong[logits.Length];
            _tokenIds = new int[logits.Length];
        }

        var keys = _keys.AsSpan(0, logits.Length);
        for (var tokenId = 0; tokenId < logits.Length; tokenId++)
        {
            keys[tokenId] = ((ulong)~Ascending(logits[tokenId]) << 32) | (uint)tokenId;
        }

        keys.Sort();
        for (var place = 0; place < keys.Length; place++)
        {
            _tokenIds[place] = (int)(uint)keys[place];
        }

        return _tokenIds.AsSpan(0, logits.Length);
    }

    // An unsigned number that grows with the float: its bits, all turned over where it is negative. Adding 0 makes one of -0 and +0.
    private static uint Ascending(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value + 0f);
        return (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
    }
}
