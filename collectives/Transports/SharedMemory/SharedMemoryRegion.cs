using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Distributed.Collectives.Hosting;
using Distributed.Protos;
using Google.Protobuf;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>
/// Memory that ranks of one host share: a nonce, and then one <see cref="SegmentRing"/> each way between the two ranks of a pair, or the <see cref="PayloadBoard"/> of a rank, which all
/// its peers read. Whoever makes it offers it over an authenticated stream (that of a pair is the lower rank's); the other maps it, and no name of it is left.
/// </summary>
/// <remarks>
/// On Linux it is a memfd: it has no name that others could find, no limit such as a container's /dev/shm has, and is sealed, so that
/// nobody can cut it short under a mapping. The higher rank opens it through /proc, which the system lets only the same user do.
/// Elsewhere it is a file of the job's directory, which is the same user's alone, and removed as soon as both have mapped it.
/// </remarks>
internal sealed unsafe partial class SharedMemoryRegion
{
    private const int NonceByteCount = 32;
    private const int HeaderByteCount = 128;
    private const int BoardReadOffset = NonceByteCount; // of a pair: whether the lower rank reads the higher one's board, and the other way round

    private const uint CloseOnExec = 1;    // MFD_CLOEXEC
    private const uint AllowSealing = 2;   // MFD_ALLOW_SEALING
    private const int AddSeals = 1033;     // F_ADD_SEALS
    private const int GetSeals = 1034;     // F_GET_SEALS

    // The mapping ends when nobody refers to it: a thread may be reading from it while another closes the group.
    private readonly SafeBuffer _view;

    private SharedMemoryRegion(SafeBuffer view) => _view = view;

    private byte* Start => (byte*)_view.DangerousGetHandle();

    /// <summary>What is behind the nonce.</summary>
    public byte* Content => Start + HeaderByteCount;

    /// <summary>The ring from the lower to the higher rank, and the one back.</summary>
    public (SegmentRing Up, SegmentRing Down) Rings => (new SegmentRing(Content), new SegmentRing(Content + SegmentRing.ByteCount));

    /// <summary>The board, of the rank that writes it.</summary>
    public PayloadBoard Board => new(Content);

    /// <summary>Tells the other rank of a pair that this one reads its board.</summary>
    public void TellBoardIsRead(bool byLower) => Volatile.Write(ref *BoardRead(byLower), 1);

    /// <summary>Whether one of a pair reads the other's board. Who has joined has told it.</summary>
    public bool IsBoardRead(bool byLower) => Volatile.Read(ref *BoardRead(byLower)) == 1;

    /// <summary>Makes the memory.</summary>
    /// <param name="directory">The job's directory.</param>
    /// <param name="kind">What for.</param>
    /// <returns>The memory and what the peer has to know; <see langword="null"/> where the system refuses it.</returns>
    public static SharedMemoryOffer? TryCreate(string directory, SharedMemoryKind kind)
    {
        var byteCount = HeaderByteCount + kind.ContentByteCount;
        var nonce = RandomNumberGenerator.GetBytes(NonceByteCount);
        var message = new MemoryOffer { ByteCount = (ulong)byteCount, Nonce = UnsafeByteOperations.UnsafeWrap(nonce) };
        try
        {
            SafeFileHandle file;
            SharedMemoryRegion region;
            string? path = null;
            if (Platform.UsesLinux)
            {
                file = new SafeFileHandle(CreateMemoryFile("distrun", CloseOnExec | AllowSealing), ownsHandle: true);
                if (file.IsInvalid)
                {
                    return null;
                }

                (message.ProcessId, message.FileNumber) = ((uint)Environment.ProcessId, (uint)file.DangerousGetHandle());
                RandomAccess.SetLength(file, byteCount);
                region = Map(file, byteCount, MemoryMappedFileAccess.ReadWrite);
                if (Control((int)file.DangerousGetHandle(), AddSeals, kind.Seals) != 0)
                {
                    file.Dispose();
                    return null;
                }
            }
            else
            {
                path = PathOf(directory, nonce);
                file = CreateFile(path);
                RandomAccess.SetLength(file, byteCount);
                region = Map(file, byteCount, MemoryMappedFileAccess.ReadWrite);
            }

            nonce.CopyTo(new Span<byte>(region.Start, NonceByteCount));
            return new SharedMemoryOffer(region, message, file, path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Maps what a peer of this host has offered over the authenticated stream.</summary>
    /// <param name="directory">The job's directory.</param>
    /// <param name="offer">What the peer says.</param>
    /// <param name="kind">What it has to be.</param>
    /// <returns><see langword="null"/> where this process cannot reach it, or it is not what was offered.</returns>
    public static SharedMemoryRegion? TryOpen(string directory, MemoryOffer offer, SharedMemoryKind kind)
    {
        var byteCount = HeaderByteCount + kind.ContentByteCount;
        var access = kind.ReaderAccess == MemoryMappedFileAccess.Read ? FileAccess.Read : FileAccess.ReadWrite;
        if (offer.ByteCount != (ulong)byteCount || offer.Nonce.Length != NonceByteCount)
        {
            return null;
        }

        var path = Platform.UsesLinux ? $"/proc/{offer.ProcessId}/fd/{offer.FileNumber}" : PathOf(directory, offer.Nonce.Span);
        try
        {
            using var file = File.OpenHandle(path, FileMode.Open, access, FileShare.ReadWrite | FileShare.Delete);

            // The seals first: without them the length could change after it was looked at, and whoever reads beyond an end dies.
            if ((Platform.UsesLinux && !HasSeals(file, kind.Seals)) || RandomAccess.GetLength(file) != byteCount)
            {
                return null;
            }

            var region = Map(file, byteCount, kind.ReaderAccess);
            return new ReadOnlySpan<byte>(region.Start, NonceByteCount).SequenceEqual(offer.Nonce.Span) ? region : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            return null;
        }
    }

    /// <summary>Maps the board that a peer of this host has offered, if it has.</summary>
    /// <inheritdoc cref="TryOpen"/>
    public static SharedMemoryRegion? TryOpenBoard(string directory, MemoryOffer? offer) => offer is null ? null : TryOpen(directory, offer, SharedMemoryKind.Board);

    /// <summary>Why two ranks that must share memory do not.</summary>
    public static string Missing(int rank, int peer)
        => $"rank {rank} has to share memory with rank {peer} (--transport shm, or DISTRUN_TRANSPORT=shm) and cannot; give all ranks of the job the same transport, or use auto";

    private uint* BoardRead(bool byLower) => (uint*)(Start + BoardReadOffset) + (byLower ? 0 : 1);

    private static SharedMemoryRegion Map(SafeFileHandle file, long byteCount, MemoryMappedFileAccess access)
    {
        using var mapping = MemoryMappedFile.CreateFromFile(
            file, mapName: null, byteCount, access, HandleInheritability.None, leaveOpen: true);
#pragma warning disable CA2000 // The region keeps the view.
        return new SharedMemoryRegion(mapping.CreateViewAccessor(0, byteCount, access).SafeMemoryMappedViewHandle);
#pragma warning restore CA2000
    }

    private static bool HasSeals(SafeFileHandle file, int wanted)
        => Control((int)file.DangerousGetHandle(), GetSeals, 0) is >= 0 and var seals && (seals & wanted) == wanted;

    private static string PathOf(string directory, ReadOnlySpan<byte> nonce) => Path.Combine(directory, $"m{Convert.ToHexStringLower(nonce[..8])}");

    private static SafeFileHandle CreateFile(string path)
    {
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.ReadWrite | FileShare.Delete,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using var stream = new FileStream(path, options);
        return File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int CreateMemoryFile(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command, int argument);
}

/// <summary>Memory that this rank has made and offers to a peer, until the peer has answered.</summary>
/// <param name="region">The memory, mapped.</param>
/// <param name="message">What the peer needs to map it.</param>
/// <param name="file">By which the peer reaches it.</param>
/// <param name="path">Its name, where it has one.</param>
internal sealed class SharedMemoryOffer(SharedMemoryRegion region, MemoryOffer message, SafeFileHandle file, string? path) : IDisposable
{
    public SharedMemoryRegion Region => region;

    public MemoryOffer Message => message;

    /// <summary>Takes the way to the memory away, once; the mappings stay.</summary>
    public void Dispose()
    {
        file.Dispose();
        if (path is not null)
        {
            File.Delete(path);
            path = null;
        }
    }
}
