using Microsoft.Win32.SafeHandles;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// One <c>.pth</c> file, held open from its validation to its mapping, so that what is mapped is what was validated even where the
/// name has been given to another file meanwhile.
/// </summary>
internal sealed class ShardFile : IDisposable
{
    private readonly DateTime _lastWriteTimeUtc;
    private readonly ReadOnlyMemory<byte>? _bytes; // of a file that is none
    private readonly SafeFileHandle? _handle;

    private ShardFile(string path, SafeFileHandle handle)
    {
        Path = path;
        _handle = handle;
        ByteCount = RandomAccess.GetLength(handle);
        _lastWriteTimeUtc = File.GetLastWriteTimeUtc(handle);
    }

    private ShardFile(string path, ReadOnlyMemory<byte> bytes) => (Path, _bytes, ByteCount) = (path, bytes, bytes.Length);

    public string Path { get; }

    /// <exception cref="InvalidOperationException">It is no file but bytes.</exception>
    public SafeFileHandle Handle => _handle ?? throw new InvalidOperationException($"{Path} is in memory and cannot be mapped.");

    public long ByteCount { get; }

    /// <exception cref="CheckpointException">The file is missing, empty, not a plain file, or may not be read.</exception>
    public static ShardFile Open(string path)
    {
        try
        {
            // A pipe or device has length 0 and would block in open(2): looked at before it is opened.
            var target = File.ResolveLinkTarget(path, returnFinalTarget: true) ?? new FileInfo(path);
            if (target is not FileInfo { Exists: true })
            {
                throw new CheckpointException($"{path} is missing or no plain file; download the shard.");
            }

            if (((FileInfo)target).Length == 0)
            {
                throw new CheckpointException($"{path} is empty; download it again.");
            }

            // No hint of random access: it would switch read-ahead off for the mapped pages too (cold, 0.17 GB/s instead of 0.64 measured).
            return new ShardFile(path, File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read));
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CheckpointException($"{path} is missing; download it.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Bytes in the place of a file, which can be read but not mapped: a million of them are made in the time in which thousands of files are.</summary>
    public static ShardFile OfBytes(string path, ReadOnlyMemory<byte> bytes)
        => bytes.IsEmpty ? throw new CheckpointException($"{path} is empty; download it again.") : new ShardFile(path, bytes);

    /// <summary>
    /// Fills <paramref name="buffer"/> from <paramref name="offset"/>; the caller has checked that the file is that long.
    /// </summary>
    /// <exception cref="CheckpointException">The disk fails, or the file was cut since it was opened.</exception>
    public void Read(long offset, Span<byte> buffer)
    {
        if (_bytes is { } bytes)
        {
            bytes.Span.Slice((int)offset, buffer.Length).CopyTo(buffer);
            return;
        }

        try
        {
            while (!buffer.IsEmpty)
            {
                var count = RandomAccess.Read(Handle, buffer, offset);
                if (count == 0)
                {
                    throw Error("ended while it was read; something is writing to it");
                }

                offset += count;
                buffer = buffer[count..];
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{Path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>
    /// Fails where the file was written to since <see cref="Open"/>. Reading a page that a later truncation removed kills the process
    /// (SIGBUS), so this narrows a window that only an immutable file closes.
    /// </summary>
    public void RequireUnchanged()
    {
        if (RandomAccess.GetLength(Handle) != ByteCount || File.GetLastWriteTimeUtc(Handle) != _lastWriteTimeUtc)
        {
            throw Error("changed while it was loaded; let the copy or download finish, then start again");
        }
    }

    /// <summary>An error whose sentence begins with the file's path.</summary>
    public CheckpointException Error(string problem) => new($"{Path} {problem}.");

    public void Dispose() => _handle?.Dispose();
}
