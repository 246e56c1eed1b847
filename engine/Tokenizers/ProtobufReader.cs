using System.Buffers.Binary;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Reads a protobuf message field by field in place (protobuf.dev/programming-guides/encoding): texts are stretches of the file's own bytes, so that a file of a
/// million pieces takes little more memory than itself. What ends too early or is no message is an <see cref="InvalidDataException"/>.
/// </summary>
/// <param name="message">The whole message.</param>
internal ref struct ProtobufReader(ReadOnlyMemory<byte> message)
{
    private const int MaxGroupDepth = 100;

    private const int Varint = 0;
    private const int Fixed64 = 1;
    private const int Bytes = 2;
    private const int BeginGroup = 3;
    private const int EndGroup = 4;
    private const int Fixed32 = 5;

    private readonly ReadOnlySpan<byte> _bytes = message.Span;
    private int _position;
    private uint _tag;

    /// <summary>The next field's number &lt;&lt; 3 | wire type; 0 at the end of the message.</summary>
    public uint ReadTag()
    {
        if (_position == _bytes.Length)
        {
            return 0;
        }

        _tag = (uint)ReadVarint();
        return _tag >> 3 != 0 ? _tag : throw Damaged();
    }

    /// <summary>A number of the wire type varint; an <c>int32</c>, enum or bool of more bits loses the upper ones.</summary>
    public ulong ReadVarint()
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (_position == _bytes.Length)
            {
                throw Damaged();
            }

            var part = _bytes[_position++];
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
            {
                return value;
            }
        }

        throw Damaged();
    }

    public float ReadFloat() => BinaryPrimitives.ReadSingleLittleEndian(_bytes.Slice(Pass(sizeof(float)), sizeof(float)));

    /// <summary>A text, bytes or an inner message: a stretch of the message, not a copy.</summary>
    public ReadOnlyMemory<byte> ReadBytes()
    {
        var length = ReadVarint();
        return length <= int.MaxValue ? message.Slice(Pass((int)length), (int)length) : throw Damaged();
    }

    /// <summary>Passes over the field whose tag was read last.</summary>
    public void Skip() => Skip(_tag, depth: 0);

    private void Skip(uint tag, int depth)
    {
        switch (tag & 7)
        {
            case Varint: ReadVarint(); break;
            case Fixed64: Pass(sizeof(ulong)); break;
            case Bytes: ReadBytes(); break;
            case BeginGroup when depth < MaxGroupDepth: SkipGroup(tag, depth); break;
            case Fixed32: Pass(sizeof(uint)); break;
            default: throw Damaged();
        }
    }

    private void SkipGroup(uint begin, int depth)
    {
        while (ReadTag() is var tag && tag != ((begin & ~7u) | EndGroup))
        {
            if (tag == 0)
            {
                throw Damaged();
            }

            Skip(tag, depth + 1);
        }
    }

    // Where some bytes begin that are there, and behind which reading goes on.
    private int Pass(int count)
    {
        if (count > _bytes.Length - _position)
        {
            throw Damaged();
        }

        _position += count;
        return _position - count;
    }

    private static InvalidDataException Damaged() => new("It is no whole message.");
}
