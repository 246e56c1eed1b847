namespace Distributed.Engine.Tokenizers;

/// <summary>
/// All pieces that a text begins with, found by narrowing a range of the sorted vocabulary byte by byte: as a trie, without a trie's memory,
/// which a file with long pieces could make large.
/// </summary>
internal sealed class SortedPieces
{
    private const int ByteValueCount = 256;

    private readonly ReadOnlyMemory<byte>[] _texts; // sorted by their bytes
    private readonly int[] _ids; // [place in the order]
    private readonly int[] _starts = new int[ByteValueCount + 1]; // [first byte], or end

    /// <param name="ids">Of the pieces that are looked for.</param>
    /// <param name="text">The text of an id; none is empty and none there twice.</param>
    public SortedPieces(IEnumerable<int> ids, Func<int, ReadOnlyMemory<byte>> text)
    {
        _ids = [.. ids];
        Array.Sort(_ids, (left, right) => text(left).Span.SequenceCompareTo(text(right).Span));
        _texts = Array.ConvertAll(_ids, id => text(id));
        foreach (var piece in _texts)
        {
            _starts[piece.Span[0] + 1]++;
        }

        for (var value = 0; value < ByteValueCount; value++)
        {
            _starts[value + 1] += _starts[value];
        }
    }

    /// <summary>Bytes of the longest piece at the start of <paramref name="text"/>; 0 for none.</summary>
    public int LongestMatch(ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty)
        {
            return 0;
        }

        var longest = 0;
        var cursor = At(text[0]);
        for (var length = 1; !cursor.IsEmpty; length++)
        {
            longest = cursor.Id >= 0 ? length : longest;
            if (length == text.Length)
            {
                break;
            }

            cursor.Advance(text[length]);
        }

        return longest;
    }

    /// <summary>Begins to look for the pieces at the start of a text.</summary>
    public Cursor At(byte first) => new(this, _starts[first], _starts[first + 1]);

    /// <summary>The pieces that begin with the bytes so far.</summary>
    internal ref struct Cursor(SortedPieces pieces, int start, int end)
    {
        private int _length = 1;

        /// <summary>Whether any piece begins with the bytes so far.</summary>
        public readonly bool IsEmpty => start == end;

        /// <summary>The id of the piece that is the bytes so far; -1 where there is none.</summary>
        public readonly int Id => start < end && pieces._texts[start].Length == _length ? pieces._ids[start] : -1;

        /// <summary>Goes on by a byte.</summary>
        public void Advance(byte value)
        {
            // The shortest comes first: it has no such byte.
            if (start < end && pieces._texts[start].Length == _length)
            {
                start++;
            }

            start = LowerBound(value);
            end = LowerBound(value + 1);
            _length++;
        }

        // The first whose next byte is at least so great.
        private readonly int LowerBound(int value)
        {
            var (low, high) = (start, end);
            while (low < high)
            {
                var middle = (int)(((uint)low + (uint)high) / 2);
                if (pieces._texts[middle].Span[_length] < value)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            return low;
        }
    }
}
