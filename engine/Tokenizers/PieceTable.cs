namespace Distributed.Engine.Tokenizers;

/// <summary>Finds the id of a piece by its UTF-8 bytes, without making a string or an array of them.</summary>
internal sealed class PieceTable
{
    private readonly Dictionary<byte[], int> _ids = new(new Comparer());
    private readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> _lookup;
    private int _longest;

    public PieceTable() => _lookup = _ids.GetAlternateLookup<ReadOnlySpan<byte>>();

    /// <summary>False where the piece is there already.</summary>
    public bool TryAdd(byte[] utf8, int id)
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

    private sealed class Comparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public bool Equals(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right);

        public int GetHashCode(byte[] utf8) => GetHashCode(utf8.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            // Keyed at random for each process: a model cannot be made to collide.
            var hash = new HashCode();
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
