using System.Buffers;
using System.Text;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>
/// Writes header fields (RFC 7541): each by its name and value, as they are. Nothing is compressed and nothing is remembered, as a connection has one call.
/// </summary>
internal sealed class HeaderWriter
{
    private const int MaxPrefix = 127;
    private readonly ArrayBufferWriter<byte> _bytes = new(256);

    /// <summary>The block so far.</summary>
    public ReadOnlyMemory<byte> Block => _bytes.WrittenMemory;

    /// <summary>Adds a field.</summary>
    /// <param name="name">Of any case; written in small letters.</param>
    /// <param name="value">In Latin-1, as HTTP has it.</param>
    public void Add(string name, string value)
    {
        _bytes.Write((ReadOnlySpan<byte>)[0]); // a literal that is not to be indexed, with a new name
        Add(name.ToLowerInvariant());
        Add(value);
    }

    private void Add(string text)
    {
        var rest = text.Length - MaxPrefix;
        _bytes.Write((ReadOnlySpan<byte>)[(byte)Math.Min(text.Length, MaxPrefix)]);
        for (; rest >= 0; rest = rest < 128 ? -1 : rest >> 7)
        {
            _bytes.Write((ReadOnlySpan<byte>)[(byte)(rest < 128 ? rest : (rest & 127) | 128)]);
        }

        Encoding.Latin1.GetBytes(text, _bytes);
    }
}

/// <summary>The fields of a block that is malformed.</summary>
internal sealed class HeaderException(string message) : Exception(message);

/// <summary>
/// Reads header blocks (RFC 7541) of one connection. What fields an index stands for is remembered from one block to the next, up to the 4 KiB that every endpoint
/// begins with.
/// </summary>
/// <param name="maxByteCount">The largest list of fields that is accepted, each with 32 bytes beside its own (section 4.1).</param>
internal sealed class HeaderReader(int maxByteCount)
{
    private const int MaxTableByteCount = 4096;
    private const int FieldOverhead = 32;

    // Index 1 and on (appendix A).
    private static readonly (string Name, string Value)[] Static =
    [
        (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"),
        (":status", "200"), (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"),
        ("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
        ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
        ("content-encoding", ""), ("content-language", ""), ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
        ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
        ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
        ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""),
        ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
    ];

    private readonly LinkedList<(string Name, string Value)> _table = []; // the newest first
    private int _tableByteCount;
    private int _tableLimit = MaxTableByteCount;

    /// <summary>The fields of a block, in their order.</summary>
    /// <exception cref="HeaderException">The block is malformed, or its fields are too many.</exception>
    public List<(string Name, string Value)> Read(ReadOnlySpan<byte> block)
    {
        var fields = new List<(string, string)>();
        var byteCount = 0;
        while (!block.IsEmpty)
        {
            if ((block[0] & 0xE0) == 0x20) // 001: the size of the table
            {
                Resize(ReadNumber(ref block, prefixBitCount: 5));
                continue;
            }

            var field = ReadField(ref block);
            byteCount += SizeOf(field);
            if (byteCount > maxByteCount)
            {
                throw new HeaderException($"the header fields have more than {maxByteCount} bytes");
            }

            fields.Add(field);
        }

        return fields;
    }

    private (string Name, string Value) ReadField(ref ReadOnlySpan<byte> block)
    {
        if ((block[0] & 0x80) != 0) // 1: both by index
        {
            return At(ReadNumber(ref block, prefixBitCount: 7));
        }

        var isRemembered = (block[0] & 0x40) != 0; // 01; else 0000 or 0001
        var index = ReadNumber(ref block, isRemembered ? 6 : 4);
        var name = index == 0 ? ReadText(ref block) : At(index).Name;
        var field = (name, ReadText(ref block));
        if (isRemembered)
        {
            Remember(field);
        }

        return field;
    }

    private (string Name, string Value) At(int index)
        => index >= 1 && index <= Static.Length ? Static[index - 1]
            : index > Static.Length && index <= Static.Length + _table.Count ? _table.ElementAt(index - Static.Length - 1)
            : throw new HeaderException($"header index {index} stands for nothing");

    private void Remember((string Name, string Value) field)
    {
        _table.AddFirst(field);
        _tableByteCount += SizeOf(field);
        Shrink();
    }

    private void Resize(int byteCount)
    {
        _tableLimit = byteCount <= MaxTableByteCount ? byteCount : throw new HeaderException($"a header table of {byteCount} bytes is over the limit of {MaxTableByteCount}");
        Shrink();
    }

    private void Shrink()
    {
        while (_tableByteCount > _tableLimit)
        {
            _tableByteCount -= SizeOf(_table.Last!.Value); // the size is that of its fields
            _table.RemoveLast();
        }
    }

    private static int SizeOf((string Name, string Value) field) => field.Name.Length + field.Value.Length + FieldOverhead;

    // A number in the low bits of a byte, and where they are all ones, in seven bits a byte after it (section 5.1).
    private static int ReadNumber(ref ReadOnlySpan<byte> block, int prefixBitCount)
    {
        var mask = (1 << prefixBitCount) - 1;
        var number = Next(ref block) & mask;
        if (number < mask)
        {
            return number;
        }

        for (var shift = 0; shift < 21; shift += 7)
        {
            var value = Next(ref block);
            number += (value & 127) << shift;
            if (value < 128)
            {
                return number;
            }
        }

        throw new HeaderException("a number in the header fields has more than 21 bits");
    }

    private static string ReadText(ref ReadOnlySpan<byte> block)
    {
        var isCoded = !block.IsEmpty && (block[0] & 0x80) != 0;
        var byteCount = ReadNumber(ref block, prefixBitCount: 7);
        if (byteCount > block.Length)
        {
            throw new HeaderException("the header fields end inside a string");
        }

        var bytes = block[..byteCount];
        block = block[byteCount..];
        if (!isCoded)
        {
            return Encoding.Latin1.GetString(bytes);
        }

        var text = new byte[byteCount * 8 / 5];
        return HuffmanCode.TryDecode(bytes, text, out var count) ? Encoding.Latin1.GetString(text, 0, count) : throw new HeaderException("a header string is not in the Huffman code");
    }

    private static byte Next(ref ReadOnlySpan<byte> block)
    {
        if (block.IsEmpty)
        {
            throw new HeaderException("the header fields end inside a number");
        }

        var value = block[0];
        block = block[1..];
        return value;
    }
}
