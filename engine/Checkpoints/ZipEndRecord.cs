using static Distributed.Engine.Checkpoints.ZipFormat;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Where the central directory lies, from the end record and, where there is one, the Zip64 end record and locator in front of it.
/// </summary>
/// <param name="DirectoryOffset">Of the first byte of the central directory; the members lie before it.</param>
/// <param name="DirectoryByteCount">The directory reaches exactly to the end records.</param>
/// <param name="MemberCount">1 to <see cref="MaxMemberCount"/>.</param>
internal readonly record struct ZipEndRecord(long DirectoryOffset, long DirectoryByteCount, int MemberCount)
{
    /// <summary>The fields that the two end records have in common.</summary>
    private readonly record struct Fields(ulong CountHere, ulong Count, ulong ByteCount, ulong Offset);

    /// <exception cref="CheckpointException">The file does not end in consistent end records; a cut file ends like that.</exception>
    public static ZipEndRecord Read(ShardFile file)
    {
        const int MostByteCount = Zip64EndByteCount + Zip64LocatorByteCount + EndByteCount;
        Span<byte> tail = stackalloc byte[MostByteCount];
        tail = tail[..(int)Math.Min(MostByteCount, file.ByteCount)];
        file.Read(file.ByteCount - tail.Length, tail);

        // A comment would let bytes of another format follow, so the record is looked for in one place only.
        if (tail.Length < EndByteCount || UInt32(tail[^EndByteCount..]) != EndSignature)
        {
            throw Broken(file, "no end record closes it");
        }

        var end = tail[^EndByteCount..];
        var fields = new Fields(UInt16(end[8..]), UInt16(end[10..]), UInt32(end[12..]), UInt32(end[16..]));
        var directoryEnd = file.ByteCount - EndByteCount;
        if (tail.Length == MostByteCount && UInt32(tail[Zip64EndByteCount..]) == Zip64LocatorSignature)
        {
            directoryEnd -= Zip64LocatorByteCount + Zip64EndByteCount;
            fields = Read64(file, tail[..^EndByteCount], (ulong)directoryEnd, fields);
        }

        if (UInt32(end[4..]) != 0 || fields.CountHere != fields.Count || UInt16(end[20..]) != 0)
        {
            throw Broken(file, "it is one volume of several, or a comment follows it");
        }

        if (fields.Count is 0 or > MaxMemberCount)
        {
            throw Broken(file, $"it names {fields.Count} members, not 1 to {MaxMemberCount}");
        }

        if (fields.Offset > (ulong)directoryEnd || fields.ByteCount != (ulong)directoryEnd - fields.Offset)
        {
            throw Broken(file, $"its directory of {fields.ByteCount} bytes at {fields.Offset} does not end where its end record begins");
        }

        const ulong MaxEntryByteCount = CentralHeaderByteCount + (2 * MaxNameByteCount);
        if (fields.ByteCount > fields.Count * MaxEntryByteCount)
        {
            throw Broken(
                file, $"its directory of {fields.Count} members has {fields.ByteCount} bytes, more than names of {MaxNameByteCount} need");
        }

        return new ZipEndRecord((long)fields.Offset, (long)fields.ByteCount, (int)fields.Count);
    }

    /// <summary>The Zip64 end record with its locator; each field of the short record repeats it or refers to it.</summary>
    private static Fields Read64(ShardFile file, ReadOnlySpan<byte> bytes, ulong position, Fields narrow)
    {
        var end = bytes[..Zip64EndByteCount];
        var locator = bytes[Zip64EndByteCount..];
        if (UInt32(end) != Zip64EndSignature || UInt64(end[4..]) != Zip64EndByteCount - 12 || UInt64(end[16..]) != 0
            || UInt64(locator[8..]) != position || UInt32(locator[4..]) != 0 || UInt32(locator[16..]) != 1)
        {
            throw Broken(file, "its Zip64 end record and locator disagree");
        }

        var wide = new Fields(UInt64(end[24..]), UInt64(end[32..]), UInt64(end[40..]), UInt64(end[48..]));
        if (!Agree(narrow.CountHere, In64Short, wide.CountHere) || !Agree(narrow.Count, In64Short, wide.Count)
            || !Agree(narrow.ByteCount, In64, wide.ByteCount) || !Agree(narrow.Offset, In64, wide.Offset))
        {
            throw Broken(file, "its two end records disagree");
        }

        return wide;

        static bool Agree(ulong value, ulong refersTo64, ulong value64) => value == value64 || value == refersTo64;
    }
}
