using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Distributed.Engine.Kernels;
using static Distributed.Engine.Checkpoints.ZipFormat;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Writes a zip container of stored members of known size, each aligned to 64 bytes by padding in its extra field, as torch does. A
/// member's checksum goes into its local header once its data is written, so no descriptor follows. Members past 4 GiB have their Zip64
/// field.
/// </summary>
internal sealed class ZipWriter(LargePageWriter file)
{
    /// <summary>Of the padding's extra field; torch's writer uses the same.</summary>
    private const ushort PaddingExtraId = 0x4246;    // "FB"

    private readonly List<Member> _members = [];
    private Member _member = new([], 0, 0, 0);
    private long _dataOffset;
    private uint _crc;

    private readonly record struct Member(byte[] Name, long HeaderOffset, long ByteCount, uint Crc32);

    /// <summary>Begins a member of exactly <paramref name="byteCount"/> bytes.</summary>
    public void Begin(string name, long byteCount)
    {
        _member = new Member(Encoding.UTF8.GetBytes(name), file.Position, byteCount, 0);
        _crc = 0;
        var sizes = Sizes64(_member);
        var headerByteCount = LocalHeaderByteCount + _member.Name.Length + sizes.Length;
        var dataOffset = file.Position + headerByteCount + 4;
        var padding = (int)(-dataOffset & (Alignment - 1));

        var header = new byte[headerByteCount + 4 + padding];
        UInt32(header, 0, LocalHeaderSignature);
        WriteCommon(header.AsSpan(4), _member, extraByteCount: sizes.Length + 4 + padding);
        _member.Name.CopyTo(header, LocalHeaderByteCount);
        sizes.CopyTo(header, LocalHeaderByteCount + _member.Name.Length);
        UInt16(header, headerByteCount, PaddingExtraId);
        UInt16(header, headerByteCount + 2, (ushort)padding);
        file.Append(header);
        _dataOffset = file.Position;
    }

    /// <summary>The next bytes of the member.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        _crc = Crc32.Append(_crc, bytes);
        file.Append(bytes);
    }

    /// <summary>Ends the member, whose bytes are all written.</summary>
    public void End()
    {
        Debug.Assert(file.Position == _dataOffset + _member.ByteCount, "A member has the size that it was begun with.");
        var member = _member with { Crc32 = _crc };
        Span<byte> crc = stackalloc byte[sizeof(uint)];
        UInt32(crc, 0, _crc);
        file.Replace(member.HeaderOffset + 14, crc);
        _members.Add(member);
    }

    /// <summary>Writes the central directory and the end records.</summary>
    public void Finish()
    {
        var directoryOffset = file.Position;
        _members.ForEach(WriteCentralHeader);
        var directoryByteCount = file.Position - directoryOffset;
        var end = new byte[Zip64EndByteCount + Zip64LocatorByteCount + EndByteCount];

        UInt32(end, 0, Zip64EndSignature);
        UInt64(end, 4, Zip64EndByteCount - 12);
        UInt16(end, 12, VersionZip64);
        UInt16(end, 14, VersionZip64);
        UInt64(end, 24, (ulong)_members.Count);
        UInt64(end, 32, (ulong)_members.Count);
        UInt64(end, 40, (ulong)directoryByteCount);
        UInt64(end, 48, (ulong)directoryOffset);

        var locator = end.AsSpan(Zip64EndByteCount);
        UInt32(locator, 0, Zip64LocatorSignature);
        UInt64(locator, 8, (ulong)file.Position);
        UInt32(locator, 16, 1);

        var narrow = locator[Zip64LocatorByteCount..];
        UInt32(narrow, 0, EndSignature);
        UInt16(narrow, 8, (ushort)Math.Min(_members.Count, In64Short));
        UInt16(narrow, 10, (ushort)Math.Min(_members.Count, In64Short));
        UInt32(narrow, 12, Narrow(directoryByteCount));
        UInt32(narrow, 16, Narrow(directoryOffset));
        file.Append(end);
    }

    private void WriteCentralHeader(Member member)
    {
        var extra = Extra64(member);
        var header = new byte[CentralHeaderByteCount + member.Name.Length + extra.Length];
        UInt32(header, 0, CentralHeaderSignature);
        UInt16(header, 4, VersionZip64);
        WriteCommon(header.AsSpan(6), member, extra.Length);
        UInt32(header, 42, Narrow(member.HeaderOffset));
        member.Name.CopyTo(header, CentralHeaderByteCount);
        extra.CopyTo(header, CentralHeaderByteCount + member.Name.Length);
        file.Append(header);
    }

    /// <summary>
    /// The 26 bytes that both headers of a member have in common, from the version needed to the length of the extra field; no time is
    /// written.
    /// </summary>
    private static void WriteCommon(Span<byte> fields, Member member, int extraByteCount)
    {
        UInt16(fields, 0, VersionZip64);
        UInt16(fields, 2, FlagUtf8);
        UInt16(fields, 4, MethodStored);
        UInt32(fields, 10, member.Crc32);
        UInt32(fields, 14, Narrow(member.ByteCount));
        UInt32(fields, 18, Narrow(member.ByteCount));
        UInt16(fields, 22, (ushort)member.Name.Length);
        UInt16(fields, 24, (ushort)extraByteCount);
    }

    /// <summary>The Zip64 field of a local header: the sizes where they do not fit the short fields, else nothing.</summary>
    private static byte[] Sizes64(Member member) => member.ByteCount >= In64 ? Field64(member.ByteCount, member.ByteCount) : [];

    /// <summary>The Zip64 field of a central header: the sizes and the offset, as far as they do not fit.</summary>
    private static byte[] Extra64(Member member) => (member.ByteCount >= In64, member.HeaderOffset >= In64) switch
    {
        (true, true) => Field64(member.ByteCount, member.ByteCount, member.HeaderOffset),
        (true, false) => Field64(member.ByteCount, member.ByteCount),
        (false, true) => Field64(member.HeaderOffset),
        _ => [],
    };

    private static byte[] Field64(params ReadOnlySpan<long> values)
    {
        var field = new byte[4 + (values.Length * sizeof(ulong))];
        UInt16(field, 0, Zip64ExtraId);
        UInt16(field, 2, (ushort)(values.Length * sizeof(ulong)));
        for (var index = 0; index < values.Length; index++)
        {
            UInt64(field, 4 + (index * sizeof(ulong)), (ulong)values[index]);
        }

        return field;
    }

    private static uint Narrow(long value) => value >= In64 ? In64 : (uint)value;

    private static void UInt16(Span<byte> bytes, int offset, ushort value)
        => BinaryPrimitives.WriteUInt16LittleEndian(bytes[offset..], value);

    private static void UInt32(Span<byte> bytes, int offset, uint value)
        => BinaryPrimitives.WriteUInt32LittleEndian(bytes[offset..], value);

    private static void UInt64(Span<byte> bytes, int offset, ulong value)
        => BinaryPrimitives.WriteUInt64LittleEndian(bytes[offset..], value);
}
