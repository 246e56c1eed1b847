namespace Distributed.Engine.Tokenizers;

/// <summary>The names that a tokenizer.json gives its tokens, in its own spelling and order, and the ids that they have.</summary>
internal sealed class TokenNames
{
    private readonly TokenList _names; // [entry]
    private readonly int[] _ids; // [entry]
    private readonly PieceTable _table; // of entries

    /// <param name="capacity">The most entries.</param>
    /// <param name="byteCapacity">The bytes of their names.</param>
    public TokenNames(int capacity, int byteCapacity)
    {
        _names = new TokenList(capacity, byteCapacity);
        _ids = new int[capacity];
        _table = new PieceTable(capacity, _names.Memory);
    }

    /// <summary>Entries so far.</summary>
    public int Count { get; private set; }

    /// <summary>In UTF-8.</summary>
    public ReadOnlySpan<byte> Name(int entry) => _names.Bytes(entry);

    public int Id(int entry) => _ids[entry];

    /// <summary>False where there is such a name already.</summary>
    public bool TryAdd(ReadOnlySpan<byte> name, int id)
    {
        _names.Set(Count, TokenKind.Normal, name);
        _ids[Count] = id;
        return _table.TryAdd(Count++);
    }

    /// <summary>Gives a name its id, or another one.</summary>
    public void Set(ReadOnlySpan<byte> name, int id)
    {
        if (_table.TryFind(name, out var entry))
        {
            _ids[entry] = id;
        }
        else
        {
            TryAdd(name, id);
        }
    }

    public bool TryFind(ReadOnlySpan<byte> name, out int id)
    {
        var found = _table.TryFind(name, out var entry);
        id = found ? _ids[entry] : -1;
        return found;
    }
}
