using Microsoft.Win32.SafeHandles;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Writes a new file from its start to its end in pieces of 2 MiB, each at a multiple of 2 MiB, whatever the sizes in which the bytes come.
/// </summary>
/// <remarks>
/// Linux keeps what is written in pages as large as the piece, where the file system can (ext4 since 6.16, XFS, Btrfs), and maps a whole piece by one entry: a
/// <see cref="MappedFile"/> is then read as fast as memory of 2 MiB pages, where a file in pages of 4 KiB gives a fifth to a third less.
/// </remarks>
internal sealed class LargePageWriter
{
    /// <summary>A large page of x86-64 and of most Arm64 systems; all the memory that writing takes.</summary>
    public const int PieceByteCount = 2 << 20;

    private readonly SafeFileHandle _handle;
    private readonly byte[] _piece = new byte[PieceByteCount];
    private long _start;
    private int _count;

    private LargePageWriter(SafeFileHandle handle) => _handle = handle;

    /// <summary>Bytes so far.</summary>
    public long Position => _start + _count;

    /// <summary>Writes a file and brings it to the disk; it appears under its name when it is whole, and until then what stood there before still does.</summary>
    /// <param name="path">Replaced where it exists.</param>
    /// <param name="write">Appends all of the content.</param>
    /// <exception cref="IOException">The disk is full or the folder may not be written to.</exception>
    public static void Write(string path, Action<LargePageWriter> write)
    {
        // In the same folder, so that the rename is one step; random, so that two writers do not meet.
        var partial = $"{path}.{Guid.NewGuid():N}.partial";
        try
        {
            using (var handle = File.OpenHandle(partial, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                var file = new LargePageWriter(handle);
                write(file);
                file.Finish();
            }

            File.Move(partial, path, overwrite: true);
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>The next bytes.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var part = bytes[..Math.Min(bytes.Length, PieceByteCount - _count)];
            part.CopyTo(_piece.AsSpan(_count));
            _count += part.Length;
            bytes = bytes[part.Length..];
            if (_count == PieceByteCount)
            {
                WritePiece();
            }
        }
    }

    /// <summary>Replaces bytes that were appended before.</summary>
    /// <param name="position">Of the first of them in the file.</param>
    /// <param name="bytes">All before <see cref="Position"/>.</param>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Replace(long position, ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position + bytes.Length, Position);
        var written = (int)Math.Clamp(_start - position, 0, bytes.Length);
        if (written > 0)
        {
            RandomAccess.Write(_handle, bytes[..written], position);
        }

        if (written < bytes.Length)
        {
            bytes[written..].CopyTo(_piece.AsSpan((int)(position + written - _start)));
        }
    }

    private void Finish()
    {
        WritePiece();
        RandomAccess.SetLength(_handle, _start); // where zeros are the last
        RandomAccess.FlushToDisk(_handle);
    }

    // Zeros are left as a hole in the file.
    private void WritePiece()
    {
        var bytes = _piece.AsSpan(0, _count);
        if (bytes.ContainsAnyExcept((byte)0))
        {
            RandomAccess.Write(_handle, bytes, _start);
        }

        _start += _count;
        _count = 0;
    }
}
