using System.Text;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Containers that say one thing here and another there, or more than torch.save would.</summary>
public sealed class ZipDirectoryTests : IDisposable
{
    private readonly ShardProbe _probe = new();

    public void Dispose() => _probe.Dispose();

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Read_AsTorchWritesIt_GivesTheTensor(bool zip64End, bool descriptors)
    {
        var container = ContainerBuilder.OneTensor();
        container.HasZip64End = zip64End;
        if (descriptors)
        {
            container.Members.ToList().ForEach(member => container.With(member.Name, old => new(old.Name, old.Data) { Flags = 0x0808 }));
        }

        var (tensors, refusal) = _probe.Read(container.Build());

        Assert.Null(refusal);
        Assert.Equal("float32 [2, 3] 000102030405060708090A0B0C0D0E0F1011121314151617", Assert.Single(tensors!).Value);
    }

    /// <summary>Every field of every header with every extreme: what is accepted is the same tensor.</summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, true)]
    public void Read_AnyFieldExtreme_IsRefusedOrTheSame(bool zip64End, bool descriptors)
    {
        var container = ContainerBuilder.OneTensor();
        container.HasZip64End = zip64End;
        if (descriptors)
        {
            container.Members.ToList().ForEach(member => container.With(member.Name, old => new(old.Name, old.Data) { Flags = 0x0808 }));
        }

        var intact = container.Build();
        var (expected, _) = _probe.Read(intact);
        ReadOnlySpan<ulong> values = [0, 1, 2, 0x7FFF, 0xFFFE, 0xFFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF, long.MaxValue,
            ulong.MaxValue];
        string[] harmless = ["time", "version", "versions", "version made by", "internal attributes", "external attributes", "extra id",
            "extra field length"];
        foreach (var (name, offset, width) in container.Fields)
        {
            foreach (var value in values)
            {
                var bytes = intact.ToArray();
                for (var index = 0; index < width; index++)
                {
                    bytes[offset + index] = (byte)(value >> (8 * index));
                }

                var (tensors, refusal) = _probe.Read(bytes);
                Assert.True(refusal is not null || tensors!.SequenceEqual(expected!), $"{name} = {value}");
                var same = bytes.AsSpan().SequenceEqual(intact) || harmless.Any(field => name.EndsWith(field, StringComparison.Ordinal));
                Assert.True(same || refusal is not null || IsReferenceTo64(name, value), $"{name} = {value} was not refused");
            }
        }

        Assert.True(_probe.Count > 700);
    }

    [Fact]
    public void Read_Deflated_SaysSo()
        => Refused("is compressed", container => container.With("archive/data/0", old => new(old.Name, old.Data) { Method = 8 }));

    [Fact]
    public void Read_Encrypted_SaysSo()
        => Refused("is encrypted", container => container.With("archive/data/0", old => new(old.Name, old.Data) { Flags = 0x0801 }));

    [Fact]
    public void Read_MembersOverlap_IsRefused()
        => Refused("overlaps another", container => container.Members.Add(new("archive/data/1", new byte[24]) { Offset = 0 }));

    /// <summary>Fifield's construction: a member whose data reaches over the members behind it.</summary>
    [Fact]
    public void Read_MemberQuotesTheNext_IsRefused()
        => Refused("passes the one that follows it",
            container => container.With("archive/data/0", old => new(old.Name, old.Data) { Size = 200, StoredSize = 200 }));

    [Fact]
    public void Read_NamesTwice_IsRefused()
        => Refused("two members named 'archive/data/0'", container => container.Add("archive/data/0", 1, 2, 3, 4));

    [Fact]
    public void Read_LocalNameDiffers_IsRefused()
        => Refused("two headers of its member 'archive/data/0' disagree",
            container => container.With("archive/data/0", old => new(old.Name, old.Data) { LocalName = "archive/data/1" }));

    [Fact]
    public void Read_HoleBetweenMembers_IsRefused()
        => Refused("24 bytes after its member 'archive/data/0' belong to nothing",
            container => container.With("archive/data/0", old => new(old.Name, old.Data) { Gap = new byte[24] }));

    [Theory]
    [InlineData("MZ")]
    [InlineData("%PDF-1.4")]
    public void Read_AnotherFormatInFront_IsRefused(string prefix)
        => Refused("is no checkpoint of torch.save", container => container.Prefix = Encoding.ASCII.GetBytes(prefix));

    [Fact]
    public void Read_HiddenMemberInFront_IsRefused()
        => Refused("overlaps another or leaves a hole", container => container.Prefix = ContainerBuilder.OneTensor().Build());

    [Fact]
    public void Read_TwoEndRecords_IsRefused()
    {
        var bytes = ContainerBuilder.OneTensor().Build();

        _probe.Refused([.. bytes, .. bytes[^22..]], "does not end where its end record begins");
        _probe.Refused([.. bytes, .. bytes], "does not end where its end record begins");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(22)]
    [InlineData(5000)]
    public void Read_BytesBehindTheEnd_IsRefused(int count)
        => _probe.Refused([.. ContainerBuilder.OneTensor().Build(), .. new byte[count]], "no end record closes it");

    [Fact]
    public void Read_Comment_IsRefused()
    {
        var bytes = ContainerBuilder.OneTensor().Build();
        bytes[^2] = 22;

        _probe.Refused([.. bytes, .. bytes[^22..]], "a comment follows it");
    }

    [Theory]
    [InlineData("../archive/data/1")]
    [InlineData("archive/../data/1")]
    [InlineData("/archive/data/1")]
    [InlineData("archive/./data/1")]
    [InlineData("archive//data/1")]
    [InlineData("archive/data/")]
    [InlineData("archive\\data\\1")]
    [InlineData("\\\\?\\C:\\archive")]
    [InlineData("archive/data/1\0.pkl")]
    [InlineData("archive/\u001B[2J")]
    public void Read_NameThatIsNoPlainPath_IsRefused(string name)
        => Refused("name is not a plain path", container => container.Add(name, 1));

    [Theory]
    [InlineData("other/data/1", "outside of its folder 'archive/'")]
    [InlineData("archive2/data/1", "outside of its folder 'archive/'")]
    [InlineData("archive/DATA.PKL", "a member 'DATA.PKL'")]
    [InlineData("archive/Data/0", "a member 'Data/0'")]
    [InlineData("archive/data/1", "storage 'data/1', which no tensor uses")]
    [InlineData("archive/code/model.py", "TorchScript")]
    [InlineData("archive/constants.pkl", "TorchScript")]
    [InlineData("archive/evil.so", "a member 'evil.so'")]
    public void Read_MemberThatTorchDoesNotWrite_IsRefused(string name, string expected)
        => Refused(expected, container => container.Add(name, 1));

    [Fact]
    public void Read_NamesTooLongOrNoUtf8_IsRefused()
    {
        Refused("name has 1025 bytes", container => container.Add("archive/" + new string('x', 1017), 1));
        Refused("more than names of 1024 need", container => container.Add("archive/" + new string('x', 65000), 1));
        Refused("name has 0 bytes", container => container.Add("", 1));
        var bytes = ContainerBuilder.OneTensor().Add("archive/data/é", 1).Build();
        var lead = bytes.AsSpan().LastIndexOf((byte)0xC3);
        bytes[lead] = 0xFF;
        _probe.Refused(bytes, "name is not UTF-8");
    }

    [Theory]
    [InlineData("archive/.data/serialization_id")]
    [InlineData("archive/.format_version")]
    [InlineData("archive/.storage_alignment")]
    public void Read_NotesOfNewerTorch_ArePassedOver(string name)
        => Assert.Null(_probe.Read(ContainerBuilder.OneTensor().Add(name, (byte)'1').Build()).Refusal);

    [Theory]
    [InlineData("archive/version", "no member 'version'")]
    [InlineData("archive/data.pkl", "no member 'data.pkl'")]
    [InlineData("archive/data/0", "no storage 'data/0' for tensor 'w'")]
    public void Read_MemberMissing_SaysWhich(string name, string expected) => Refused(expected, container => container.Without(name));

    [Theory]
    [InlineData("archive/byteorder", "big", "byte order 'big'")]
    [InlineData("archive/byteorder", "", "byte order ''")]
    [InlineData("archive/version", "0", "format version '0'")]
    [InlineData("archive/version", "99", "format version '99'")]
    [InlineData("archive/version", "three", "format version 'three'")]
    [InlineData("archive/version", "\u001B[2J\n3", "format version '?[2J?3'")]
    public void Read_FormatNotKnown_IsRefused(string name, string text, string expected)
        => Refused(expected, container => container.With(name, old => new(old.Name, Encoding.ASCII.GetBytes(text))));

    [Fact]
    public void Read_WithoutByteOrder_IsLittleEndian()
        => Assert.Null(_probe.Read(ContainerBuilder.OneTensor().Without("archive/byteorder").Build()).Refusal);

    [Theory]
    [InlineData("archive/data.pkl")]
    [InlineData("archive/byteorder")]
    [InlineData("archive/version")]
    public void Read_SmallMemberWithAnotherChecksum_IsRefused(string name)
        => Refused("does not match its checksum", container => container.With(name, old => new(old.Name, old.Data) { Crc = old.Crc ^ 1 }));

    [Fact]
    public void Read_Zip64FieldsThatLie_AreRefused()
    {
        byte[][] extras =
        [
            [], [1, 0, 0, 0], [1, 0, 8, 0, 24, 0, 0, 0, 0, 0, 0, 0, 9], [1, 0, 8, 0, 1, 2],
            [1, 0, 8, 0, 255, 255, 255, 255, 255, 255, 255, 127],
        ];
        foreach (var extra in extras)
        {
            var container = ContainerBuilder.OneTensor();
            container.With("archive/data/0", old => new(old.Name, old.Data) { Size = uint.MaxValue, ExtraInDirectory = extra });
            Assert.NotNull(_probe.Read(container.Build()).Refusal);
        }
    }

    [Fact]
    public void Read_MoreMembersThanAllowed_IsRefusedUnread()
    {
        var container = ContainerBuilder.OneTensor();
        container.HasZip64End = true;
        var bytes = container.Build();
        var (_, offset, _) = container.Fields.Single(field => field.Name == "end64 count");
        foreach (var at in new[] { offset, offset - 8 })
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(at), 100_001L);
        }

        // The short record refers to the long one, which is then believed as far as the limit.
        bytes.AsSpan(bytes.Length - 14, 4).Fill(0xFF);
        _probe.Refused(bytes, "it names 100001 members");
    }

    [Theory]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer")]
    [InlineData("GGUF\u0003\0\0\0", "GGUF file")]
    [InlineData("<!DOCTYPE html>", "is no checkpoint of torch.save")]
    [InlineData("P", "is no checkpoint of torch.save")]
    [InlineData("PK\u0003\u0004", "no end record closes it")]
    public void Read_OtherFiles_AreNamed(string content, string expected) => _probe.Refused(Encoding.ASCII.GetBytes(content), expected);

    [Fact]
    public void Read_LegacyFormats_AreNamed()
    {
        var tar = new byte[1024];
        "ustar"u8.CopyTo(tar.AsSpan(257));

        _probe.Refused(tar, "the format that torch.save had before 1.6");
        _probe.Refused([0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, .. "."u8],
            "the format that torch.save had before 1.6");
    }

    /// <summary>A 16-bit or 32-bit field of the end record may refer to the Zip64 record that follows it.</summary>
    private static bool IsReferenceTo64(string name, ulong value)
        => (name is "end count" or "end count here" && (ushort)value == ushort.MaxValue)
            || (name is "end directory size" or "end directory offset" && (uint)value == uint.MaxValue);

    private void Refused(string expected, Action<ContainerBuilder> change)
    {
        var container = ContainerBuilder.OneTensor();
        change(container);
        _probe.Refused(container.Build(), expected);
    }
}
