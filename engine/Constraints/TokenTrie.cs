using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Constraints;

/// <summary>
/// The bytes of all tokens of a vocabulary as a tree, its nodes in preorder: a walk is one pass over arrays that skips what a byte rules out.
/// Special tokens and the unknown one, which say nothing, are not in it. Immutable.
/// </summary>
internal sealed class TokenTrie
{
    private readonly byte[] _bytes;        // [node] the byte that leads to it
    private readonly int[] _ends;          // [node] the first node behind its subtree
    private readonly ushort[] _depths;     // [node] bytes from the root, at least 1
    private readonly int[] _firstTokens;   // [node] -1 for none
    private readonly int[] _nextTokens;    // [token] another token of the same bytes; -1 for none
    private readonly (byte[] Bytes, int Id)[] _tokens;

    public TokenTrie(Tokenizer tokenizer)
    {
        VocabularySize = tokenizer.VocabularySize;
        _tokens = [.. Tokens(tokenizer).OrderBy(token => token.Bytes, Comparer<byte[]>.Create((left, right) => left.AsSpan().SequenceCompareTo(right)))];
        var (bytes, depths, ends, first) = (new List<byte>(), new List<ushort>(), new List<int>(), new List<int>());
        _nextTokens = new int[VocabularySize];
        Array.Fill(_nextTokens, -1);
        var open = new List<int>(); // the nodes from the root to the last one
        byte[] before = [];
        foreach (var (text, id) in _tokens)
        {
            var common = text.AsSpan().CommonPrefixLength(before);
            Close(common);
            for (var i = common; i < text.Length; i++)
            {
                open.Add(bytes.Count);
                bytes.Add(text[i]);
                depths.Add(checked((ushort)(i + 1)));
                ends.Add(0);
                first.Add(-1);
            }

            _nextTokens[id] = first[open[^1]];
            first[open[^1]] = id;
            LongestToken = Math.Max(LongestToken, text.Length);
            before = text;
        }

        Close(0);
        (_bytes, _depths, _ends, _firstTokens) = ([.. bytes], [.. depths], [.. ends], [.. first]);
        Array.Sort(_tokens, (left, right) => left.Id.CompareTo(right.Id));

        void Close(int depth)
        {
            foreach (var node in open.Skip(depth))
            {
                ends[node] = bytes.Count;
            }

            open.RemoveRange(depth, open.Count - depth);
        }
    }

    /// <summary>Ids are 0 to this less one.</summary>
    public int VocabularySize { get; }

    /// <summary>In bytes.</summary>
    public int LongestToken { get; }

    public int NodeCount => _bytes.Length;

    public byte Byte(int node) => _bytes[node];

    public int Depth(int node) => _depths[node];

    public int End(int node) => _ends[node];

    /// <summary>The bytes of a token; empty where the tree does not have it.</summary>
    public ReadOnlySpan<byte> BytesOf(int id)
    {
        var index = Array.BinarySearch(_tokens, ([], id), Comparer<(byte[] Bytes, int Id)>.Create((left, right) => left.Id.CompareTo(right.Id)));
        return index < 0 ? [] : _tokens[index].Bytes;
    }

    /// <summary>Sets the bits of the tokens that end at a node.</summary>
    public void Mark(int node, Span<ulong> mask)
    {
        for (var id = _firstTokens[node]; id >= 0; id = _nextTokens[id])
        {
            mask[id >> 6] |= 1ul << id;
        }
    }

    /// <summary>Whether each byte of a range is a token of its own.</summary>
    public bool HasBytes(byte first, byte last)
    {
        var count = 0;
        for (var node = 0; node < _bytes.Length; node = _ends[node])
        {
            count += _bytes[node] >= first && _bytes[node] <= last && _firstTokens[node] >= 0 ? 1 : 0;
        }

        return count == last - first + 1;
    }

    private static IEnumerable<(byte[] Bytes, int Id)> Tokens(Tokenizer tokenizer)
    {
        var unknown = (tokenizer as SentencePieceTokenizer)?.UnknownId ?? -1;
        for (var id = 0; id < tokenizer.VocabularySize; id++)
        {
            var bytes = tokenizer.Utf8Of(id);
            if (bytes.Length > 0 && id != unknown)
            {
                yield return (bytes, id);
            }
        }
    }
}
