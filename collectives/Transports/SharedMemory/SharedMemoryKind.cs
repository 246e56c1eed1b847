using System.IO.MemoryMappedFiles;

namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>What a <see cref="SharedMemoryRegion"/> is for, and what follows from it.</summary>
/// <param name="ContentByteCount">Its size, without its nonce.</param>
/// <param name="Seals">Of the memfd: what nobody can do any more, whoever has it (F_SEAL_ of fcntl(2)).</param>
/// <param name="ReaderAccess">What those may do who map it by an offer.</param>
internal sealed record SharedMemoryKind(long ContentByteCount, int Seals, MemoryMappedFileAccess ReaderAccess)
{
    private const int FixedSize = 1 | 2 | 4;   // F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW
    private const int NoMoreWriters = 16;      // F_SEAL_FUTURE_WRITE: mappings that there are by then stay writable

    /// <summary>A ring each way between two ranks.</summary>
    public static readonly SharedMemoryKind Pair = new(2 * SegmentRing.ByteCount, FixedSize, MemoryMappedFileAccess.ReadWrite);

    /// <summary>The board of a rank, which its peers read: none can write into what another one reads.</summary>
    public static readonly SharedMemoryKind Board = new(PayloadBoard.ByteCount, FixedSize | NoMoreWriters, MemoryMappedFileAccess.Read);
}
