namespace Distributed.Engine.Tokenizers;

/// <summary>Finds the id of a piece by its UTF-8 bytes, without making a string or an array of them.</summary>
internal sealed class PieceTable
{
    private readonly Dictionary<ReadOnlyMemory<byte>, int> _ids;
    private readonly Dictionary<ReadOnlyMemory<byte>, int>.AlternateLookup<ReadOnlySpan<byte>> _lookup;
    private int _longest;

    /// <param name="capacity">Pieces that will be added, where that is known.</param>
    public PieceTable(int capacity = 0)
    {
        _ids = new Dictionary<ReadOnlyMemory<byte>, int>(capacity, new Comparer());
        _lookup = _ids.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>False where the piece is there already.</summary>
    public bool TryAdd(ReadOnlyMemory<byte> utf8, int id)
    {
        _longest = Math.Max(_longest, utf8.Length);
        return _ids.TryAdd(utf8, id);
    }

    /// <param name="utf8">The piece's text.</param>
    /// <param name="id">-1 where there is none.</param>
    public bool TryFind(ReadOnlySpan<byte> utf8, out int id)
    {
        if (utf8.Length <= _longest && _lookup.TryGetValue(utf8, out id))
        {
            return true;
        }

        id = -1;
        return false;
    }

    private sealed class Comparer : IEqualityComparer<ReadOnlyMemory<byte>>, IAlternateEqualityComparer<ReadOnlySpan<byte>, ReadOnlyMemory<byte>>
    {
        public bool Equals(ReadOnlyMemory<byte> left, ReadOnlyMemory<byte> right) => left.Span.SequenceEqual(right.Span);

        public int GetHashCode(ReadOnlyMemory<byte> utf8) => GetHashCode(utf8.Span);

        public bool Equals(ReadOnlySpan<byte> alternate, ReadOnlyMemory<byte> other) => alternate.SequenceEqual(other.Span);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            // Keyed at random for each process: a model cannot be made to collide.
            var hash = new HashCode();
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public ReadOnlyMemory<byte> Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
