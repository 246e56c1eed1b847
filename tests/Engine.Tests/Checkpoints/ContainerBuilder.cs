using System.Buffers.Binary;
using System.Text;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>
/// Puts zip containers together with any field as one likes, apart from the project's own writer. By default it is what torch.save
/// writes.
/// </summary>
internal sealed class ContainerBuilder
{
    private readonly MemoryStream _bytes = new();

    public sealed class Member(string name, byte[] data)
    {
        public string Name { get; init; } = name;

        public byte[] Data { get; init; } = data;

        public string? LocalName { get; init; }

        public ushort Method { get; init; }

        public ushort Flags { get; init; } = 0x0800;

        public uint Crc { get; init; } = Crc32Scalar.Append(0, data);

        public uint? Size { get; init; }

        public uint? StoredSize { get; init; }

        public uint? Offset { get; init; }

        public byte[] ExtraInDirectory { get; init; } = [];

        /// <summary>Bytes between this member and the next that belong to nothing.</summary>
        public byte[] Gap { get; init; } = [];
    }

    public List<Member> Members { get; } = [];

    public bool HasZip64End { get; set; }

    public byte[] Prefix { get; set; } = [];

    /// <summary>Every fixed field: a name, where it lies, its width. Filled by <see cref="Build"/>.</summary>
    public List<(string Name, int Offset, int Width)> Fields { get; } = [];

    /// <summary>The container of <c>{"w": [2, 3] of float32}</c>.</summary>
    public static ContainerBuilder OneTensor(byte[]? pickle = null) => new()
    {
        Members =
        {
            new("archive/data.pkl", pickle ?? PickleAssembler.OneTensor()),
            new("archive/byteorder", "little"u8.ToArray()),
            new("archive/data/0", [.. Enumerable.Range(0, 24).Select(value => (byte)value)]),
            new("archive/version", "3\n"u8.ToArray()),
        },
    };

    public ContainerBuilder With(string name, Func<Member, Member> change)
    {
        var index = Members.FindIndex(member => member.Name == name);
        Members[index] = change(Members[index]);
        return this;
    }

    public ContainerBuilder Without(string name)
    {
        Members.RemoveAll(member => member.Name == name);
        return this;
    }

    public ContainerBuilder Add(string name, params byte[] data)
    {
        Members.Add(new(name, data));
        return this;
    }

    public byte[] Build()
    {
        _bytes.SetLength(0);
        Fields.Clear();
        _bytes.Write(Prefix);
        var offsets = Members.Select(WriteLocal).ToArray();
        var directory = (uint)_bytes.Position;
        for (var index = 0; index < Members.Count; index++)
        {
            WriteCentral(Members[index], offsets[index]);
        }

        WriteEnd(directory, (uint)_bytes.Position - directory);
        return _bytes.ToArray();
    }

    private uint WriteLocal(Member member)
    {
        var offset = (uint)_bytes.Position;
        var where = $"local {member.Name} ";
        var described = (member.Flags & 8) != 0;
        var name = Encoding.UTF8.GetBytes(member.LocalName ?? member.Name);
        var padding = (int)(-(offset + 30 + name.Length + 4) & 63);
        Put(where + "signature", 0x04034B50, 4);
        Put(where + "version", 0, 2);
        Put(where + "flags", member.Flags, 2);
        Put(where + "method", member.Method, 2);
        Put(where + "time", 0, 4);
        Put(where + "crc", described ? 0 : member.Crc, 4);
        Put(where + "stored size", described ? 0 : member.StoredSize ?? (uint)member.Data.Length, 4);
        Put(where + "size", described ? 0 : member.Size ?? (uint)member.Data.Length, 4);
        Put(where + "name length", (uint)name.Length, 2);
        Put(where + "extra length", (uint)padding + 4, 2);
        _bytes.Write(name);
        Put(where + "extra id", 0x4246, 2);
        Put(where + "extra field length", (uint)padding, 2);
        _bytes.Write(new byte[padding]);
        _bytes.Write(member.Data);
        if (described)
        {
            Put(where + "descriptor signature", 0x08074B50, 4);
            Put(where + "descriptor crc", member.Crc, 4);
            Put(where + "descriptor stored size", member.StoredSize ?? (uint)member.Data.Length, 4);
            Put(where + "descriptor size", member.Size ?? (uint)member.Data.Length, 4);
        }

        _bytes.Write(member.Gap);
        return offset;
    }

    private void WriteCentral(Member member, uint offset)
    {
        var where = $"central {member.Name} ";
        var name = Encoding.UTF8.GetBytes(member.Name);
        Put(where + "signature", 0x02014B50, 4);
        Put(where + "version made by", 0, 2);
        Put(where + "version", 0, 2);
        Put(where + "flags", member.Flags, 2);
        Put(where + "method", member.Method, 2);
        Put(where + "time", 0, 4);
        Put(where + "crc", member.Crc, 4);
        Put(where + "stored size", member.StoredSize ?? (uint)member.Data.Length, 4);
        Put(where + "size", member.Size ?? (uint)member.Data.Length, 4);
        Put(where + "name length", (uint)name.Length, 2);
        Put(where + "extra length", (uint)member.ExtraInDirectory.Length, 2);
        Put(where + "comment length", 0, 2);
        Put(where + "disk", 0, 2);
        Put(where + "internal attributes", 0, 2);
        Put(where + "external attributes", 0, 4);
        Put(where + "offset", member.Offset ?? offset, 4);
        _bytes.Write(name);
        _bytes.Write(member.ExtraInDirectory);
    }

    private void WriteEnd(uint directory, uint directoryByteCount)
    {
        if (HasZip64End)
        {
            var position = (ulong)_bytes.Position;
            Put("end64 signature", 0x06064B50, 4);
            Put("end64 record size", 44, 8);
            Put("end64 versions", 0, 4);
            Put("end64 disk", 0, 4);
            Put("end64 directory disk", 0, 4);
            Put("end64 count here", (ulong)Members.Count, 8);
            Put("end64 count", (ulong)Members.Count, 8);
            Put("end64 directory size", directoryByteCount, 8);
            Put("end64 directory offset", directory, 8);
            Put("locator signature", 0x07064B50, 4);
            Put("locator disk", 0, 4);
            Put("locator offset", position, 8);
            Put("locator disks", 1, 4);
        }

        Put("end signature", 0x06054B50, 4);
        Put("end disk", 0, 2);
        Put("end directory disk", 0, 2);
        Put("end count here", (uint)Members.Count, 2);
        Put("end count", (uint)Members.Count, 2);
        Put("end directory size", directoryByteCount, 4);
        Put("end directory offset", directory, 4);
        Put("end comment length", 0, 2);
    }

    private void Put(string field, ulong value, int width)
    {
        Fields.Add((field, (int)_bytes.Position, width));
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        _bytes.Write(bytes[..width]);
    }
}
