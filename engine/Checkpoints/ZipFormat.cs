using System.Buffers.Binary;

namespace Distributed.Engine.Checkpoints;

/// <summary>The numbers of PKWARE's APPNOTE.TXT 6.3 (sections 4.3 and 4.5.3) that reading and writing a checkpoint need.</summary>
internal static class ZipFormat
{
    public const uint LocalHeaderSignature = 0x04034B50;      // PK\3\4
    public const uint DescriptorSignature = 0x08074B50;       // PK\7\8
    public const uint CentralHeaderSignature = 0x02014B50;    // PK\1\2
    public const uint EndSignature = 0x06054B50;              // PK\5\6
    public const uint Zip64EndSignature = 0x06064B50;         // PK\6\6
    public const uint Zip64LocatorSignature = 0x07064B50;     // PK\6\7

    public const int LocalHeaderByteCount = 30;
    public const int CentralHeaderByteCount = 46;
    public const int EndByteCount = 22;
    public const int Zip64EndByteCount = 56;
    public const int Zip64LocatorByteCount = 20;

    /// <summary>Size and checksum stand behind the data, not (only) in the local header; torch writes its members so.</summary>
    public const ushort FlagDescriptor = 1 << 3;

    /// <summary>The name is UTF-8.</summary>
    public const ushort FlagUtf8 = 1 << 11;

    public const ushort MethodStored = 0;

    /// <summary>Version 4.5: Zip64.</summary>
    public const ushort VersionZip64 = 45;

    public const ushort Zip64ExtraId = 0x0001;

    /// <summary>In a 32-bit field: look into the Zip64 one.</summary>
    public const uint In64 = uint.MaxValue;

    /// <summary>In a 16-bit field: look into the Zip64 one.</summary>
    public const ushort In64Short = ushort.MaxValue;

    /// <summary>torch pads each member to this boundary, so that a mapped tensor is aligned for any vector load.</summary>
    public const int Alignment = 64;

    /// <summary>A sharded 405B has 1,200 members; the limits bound what a hostile directory makes us hold.</summary>
    public const int MaxMemberCount = 100_000;

    public const int MaxNameByteCount = 1024;

    public static ushort UInt16(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16LittleEndian(bytes);

    public static uint UInt32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    public static ulong UInt64(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt64LittleEndian(bytes);

    public static CheckpointException Broken(ShardFile file, string rule)
        => file.Error($"is not an intact checkpoint: {rule}; it may be cut short or damaged, so download or save it again");
}
