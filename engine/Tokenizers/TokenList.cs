namespace Distributed.Engine.Tokenizers;

/// <summary>What a token is to a text.</summary>
internal enum TokenKind : byte
{
    /// <summary>Text, made by merging.</summary>
    Normal,

    /// <summary>Text that is taken whole before anything is merged.</summary>
    Added,

    /// <summary>A mark that no text contains, whatever it says. An id that no token has is one without bytes.</summary>
    Special,
}

/// <summary>Tokens by their ids, with their bytes one behind the other in one array: a million of them are three objects.</summary>
internal sealed class TokenList
{
    private readonly Entry[] _entries; // [id]
    private byte[] _bytes;
    private int _byteCount;

    /// <param name="count">Ids are 0 to this less one.</param>
    /// <param name="byteCapacity">Bytes of all tokens, where that is known; the list grows.</param>
    public TokenList(int count, int byteCapacity)
    {
        _entries = new Entry[count];
        _bytes = new byte[byteCapacity];
        Array.Fill(_entries, new Entry(-1, 0, TokenKind.Special));
    }

    public int Count => _entries.Length;

    /// <summary>Whether an id has got its token.</summary>
    public bool Has(int id) => _entries[id].Start >= 0;

    public TokenKind Kind(int id) => _entries[id].Kind;

    /// <summary>In UTF-8 or, over bytes, as they are; valid until the next <see cref="Set"/>.</summary>
    public ReadOnlySpan<byte> Bytes(int id) => Memory(id).Span;

    /// <inheritdoc cref="Bytes"/>
    public ReadOnlyMemory<byte> Memory(int id) => _entries[id] is { Start: >= 0 and var start, Length: var length } ? _bytes.AsMemory(start, length) : default;

    /// <summary>Gives an id its token, or another one.</summary>
    public void Set(int id, TokenKind kind, ReadOnlySpan<byte> bytes)
    {
        if (_bytes.Length - _byteCount < bytes.Length)
        {
            Array.Resize(ref _bytes, checked(_byteCount + Math.Max(bytes.Length, Math.Min(_byteCount, 1 << 24))));
        }

        bytes.CopyTo(_bytes.AsSpan(_byteCount));
        _entries[id] = new Entry(_byteCount, bytes.Length, kind);
        _byteCount += bytes.Length;
    }

    private readonly record struct Entry(int Start, int Length, TokenKind Kind);
}
