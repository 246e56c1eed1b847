using System.Text;
using static Distributed.Engine.Checkpoints.ZipFormat;

namespace Distributed.Engine.Checkpoints;

/// <summary>A file of the container, found and proved to lie where its two headers say.</summary>
/// <param name="Name">As it is stored, <c>consolidated.00/data/0</c>.</param>
/// <param name="Offset">Of the first byte of data in the container.</param>
/// <param name="ByteCount">Stored, which is its size: nothing is compressed.</param>
/// <param name="Crc32">As the directory says; not compared with the data here.</param>
internal readonly record struct ZipMember(string Name, long Offset, long ByteCount, uint Crc32);

/// <summary>
/// Reads the directory of a zip container strictly: it must be what torch.save writes, one reading only. The members, local headers
/// and data, tile the file from byte 0 to the directory, the directory reaches to the end record, and the end record ends the file; both
/// headers of a member agree; nothing is compressed or encrypted; names are unique. So there is no overlap, no hidden byte, and no second
/// reading of the same file for another parser (the lenient ZipArchive of the runtime cannot tell).
/// </summary>
internal sealed class ZipDirectory
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ShardFile _file;

    private ZipDirectory(ShardFile file) => _file = file;

    /// <summary>One line of the central directory.</summary>
    private readonly record struct Entry(byte[] NameBytes, string Name, ushort Flags, uint Crc32, long ByteCount, long HeaderOffset);

    /// <exception cref="CheckpointException">The file is no zip container, is cut short, or breaks a rule above.</exception>
    public static IReadOnlyList<ZipMember> Read(ShardFile file)
    {
        var directory = new ZipDirectory(file);
        var end = ZipEndRecord.Read(file);
        return directory.ReadMembers(directory.ReadEntries(end), end.DirectoryOffset);
    }

    /// <summary>The central directory, in the order in which the members lie in the file.</summary>
    private List<Entry> ReadEntries(ZipEndRecord end)
    {
        var bytes = new byte[end.DirectoryByteCount];    // bounded by the bytes present and by the limits on count and names
        _file.Read(end.DirectoryOffset, bytes);
        var entries = new List<Entry>(end.MemberCount);
        var names = new HashSet<string>(end.MemberCount, StringComparer.Ordinal);
        ReadOnlySpan<byte> rest = bytes;
        while (!rest.IsEmpty)
        {
            entries.Add(ReadEntry(ref rest));
            if (!names.Add(entries[^1].Name))
            {
                throw Broken($"it has two members named '{entries[^1].Name}'");
            }
        }

        if (entries.Count != end.MemberCount)
        {
            throw Broken($"its directory lists {entries.Count} members, its end record {end.MemberCount}");
        }

        entries.Sort((left, right) => left.HeaderOffset.CompareTo(right.HeaderOffset));
        return entries;
    }

    private Entry ReadEntry(ref ReadOnlySpan<byte> rest)
    {
        if (rest.Length < CentralHeaderByteCount || UInt32(rest) != CentralHeaderSignature)
        {
            throw Broken("its directory is damaged");
        }

        var header = rest[..CentralHeaderByteCount];
        rest = rest[CentralHeaderByteCount..];
        int nameByteCount = UInt16(header[28..]), extraByteCount = UInt16(header[30..]);
        if (nameByteCount + extraByteCount > rest.Length)
        {
            throw Broken("a name passes the end of its directory");
        }

        var nameBytes = rest[..nameByteCount];
        var extra = rest.Slice(nameByteCount, extraByteCount);
        rest = rest[(nameByteCount + extraByteCount)..];
        var name = ReadName(nameBytes);

        var flags = UInt16(header[8..]);
        if ((flags & 1) != 0)
        {
            throw Broken($"its member '{name}' is encrypted");
        }

        if (UInt16(header[10..]) != MethodStored)
        {
            throw _file.Error($"is not what torch.save writes: its member '{name}' is compressed; it is a TorchScript archive or was "
                + "repacked, so save the state dict of the model with torch.save");
        }

        if ((flags & ~(FlagDescriptor | FlagUtf8)) != 0 || UInt16(header[6..]) > VersionZip64
            || UInt16(header[32..]) != 0 || UInt16(header[34..]) != 0)
        {
            throw Broken($"its member '{name}' uses a zip feature that torch.save does not");
        }

        ulong stored = UInt32(header[20..]), size = UInt32(header[24..]), offset = UInt32(header[42..]);
        ReadExtra(name, extra, ref size, ref stored, ref offset);
        if (stored != size || size > (ulong)_file.ByteCount || offset > (ulong)_file.ByteCount)
        {
            throw Broken($"its member '{name}' claims {size} bytes at {offset}, stored in {stored}, in a file of {_file.ByteCount}");
        }

        return new Entry(nameBytes.ToArray(), name, flags, UInt32(header[16..]), (long)size, (long)offset);
    }

    /// <summary>Names are keys of a dictionary, never paths; the rules only keep a look-alike out.</summary>
    private string ReadName(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length is 0 or > MaxNameByteCount)
        {
            throw Broken($"a member's name has {bytes.Length} bytes, not 1 to {MaxNameByteCount}");
        }

        string name;
        try
        {
            name = StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw Broken("a member's name is not UTF-8");
        }

        if (name.Any(char.IsControl) || name.Contains('\\') || name.Split('/').Any(part => part is "" or "." or ".."))
        {
            throw Broken($"a member's name is not a plain path: '{Printable.Of(name)}'");
        }

        return name;
    }

    /// <summary>
    /// Takes the 64-bit values that the header's 32-bit fields refer to. Other extra fields hold padding or times and are passed over.
    /// </summary>
    private void ReadExtra(string name, ReadOnlySpan<byte> extra, ref ulong size, ref ulong stored, ref ulong offset)
    {
        var found = false;
        while (!extra.IsEmpty)
        {
            if (extra.Length < 4 || UInt16(extra[2..]) > extra.Length - 4)
            {
                throw Broken($"an extra field of its member '{name}' is damaged");
            }

            var field = extra.Slice(4, UInt16(extra[2..]));
            if (UInt16(extra) == Zip64ExtraId)
            {
                if (found || !Take(ref field, ref size) || !Take(ref field, ref stored) || !Take(ref field, ref offset) || !field.IsEmpty)
                {
                    throw Broken($"the Zip64 field of its member '{name}' is damaged");
                }

                found = true;
            }

            extra = extra[(4 + UInt16(extra[2..]))..];
        }

        if (!found && (size == In64 || stored == In64 || offset == In64))
        {
            throw Broken($"its member '{name}' lacks its Zip64 field");
        }

        static bool Take(ref ReadOnlySpan<byte> field, ref ulong value)
        {
            if (value != In64)
            {
                return true;
            }

            if (field.Length < 8)
            {
                return false;
            }

            value = UInt64(field);
            field = field[8..];
            return true;
        }
    }

    /// <summary>
    /// Walks the members through the file: each begins where the one before it ends, and its local header repeats the directory.
    /// </summary>
    private List<ZipMember> ReadMembers(List<Entry> entries, long directoryOffset)
    {
        var members = new List<ZipMember>(entries.Count);
        Span<byte> header = stackalloc byte[LocalHeaderByteCount];
        long cursor = 0;
        for (var index = 0; index < entries.Count; index++)
        {
            var entry = entries[index];
            var next = index + 1 < entries.Count ? entries[index + 1].HeaderOffset : directoryOffset;
            if (entry.HeaderOffset != cursor || next - cursor < LocalHeaderByteCount)
            {
                throw Broken($"its member '{entry.Name}' at {entry.HeaderOffset} overlaps another or leaves a hole");
            }

            _file.Read(cursor, header);
            int nameByteCount = UInt16(header[26..]), extraByteCount = UInt16(header[28..]);
            var dataOffset = cursor + LocalHeaderByteCount + nameByteCount + extraByteCount;
            if (dataOffset > next || entry.ByteCount > next - dataOffset)
            {
                throw Broken($"its member '{entry.Name}' passes the one that follows it");
            }

            var variable = new byte[nameByteCount + extraByteCount];
            _file.Read(cursor + LocalHeaderByteCount, variable);
            if (!LocalHeaderAgrees(entry, header, variable.AsSpan(0, nameByteCount), variable.AsSpan(nameByteCount)))
            {
                throw Broken($"the two headers of its member '{entry.Name}' disagree");
            }

            RequireDescriptor(entry, dataOffset + entry.ByteCount, next);
            members.Add(new ZipMember(entry.Name, dataOffset, entry.ByteCount, entry.Crc32));
            cursor = next;
        }

        return members;
    }

    private bool LocalHeaderAgrees(Entry entry, ReadOnlySpan<byte> header, ReadOnlySpan<byte> name, ReadOnlySpan<byte> extra)
    {
        if (UInt32(header) != LocalHeaderSignature || UInt16(header[6..]) != entry.Flags || UInt16(header[8..]) != MethodStored
            || !name.SequenceEqual(entry.NameBytes))
        {
            return false;
        }

        var crc = UInt32(header[14..]);
        ulong stored = UInt32(header[18..]), size = UInt32(header[22..]), unused = 0;
        if ((entry.Flags & FlagDescriptor) != 0 && crc == 0 && stored == 0 && size == 0)
        {
            // Left to the descriptor. The extra field is padding and, past 4 GiB, a Zip64 field that torch fills as in the directory.
            return true;
        }

        ReadExtra(entry.Name, extra, ref size, ref stored, ref unused);
        return crc == entry.Crc32 && stored == (ulong)entry.ByteCount && size == (ulong)entry.ByteCount;
    }

    /// <summary>Between a member's data and the next header lies its descriptor, with 32-bit or 64-bit sizes, or nothing.</summary>
    private void RequireDescriptor(Entry entry, long dataEnd, long next)
    {
        var byteCount = next - dataEnd;
        if ((entry.Flags & FlagDescriptor) == 0)
        {
            if (byteCount != 0)
            {
                throw Broken($"{byteCount} bytes after its member '{entry.Name}' belong to nothing");
            }

            return;
        }

        Span<byte> bytes = stackalloc byte[24];
        if (byteCount is 16 or 24)
        {
            bytes = bytes[..(int)byteCount];
            _file.Read(dataEnd, bytes);
            var (stored, size) = byteCount == 16 ? (UInt32(bytes[8..]), UInt32(bytes[12..])) : (UInt64(bytes[8..]), UInt64(bytes[16..]));
            if (UInt32(bytes) == DescriptorSignature && UInt32(bytes[4..]) == entry.Crc32
                && stored == (ulong)entry.ByteCount && size == (ulong)entry.ByteCount)
            {
                return;
            }
        }

        throw Broken($"the descriptor of its member '{entry.Name}' does not agree with its directory");
    }

    private CheckpointException Broken(string rule) => ZipFormat.Broken(_file, rule);
}
