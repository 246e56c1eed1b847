using System.IO.MemoryMappedFiles;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A file mapped read-only into memory: pages come from the page cache when they are first touched, and nothing is copied.
/// </summary>
/// <remarks>The file must not be written to while it is mapped: a page that a truncation takes away ends the process.</remarks>
internal sealed class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _mapping;
    private readonly MemoryMappedViewAccessor _view;
    private readonly long _byteCount;

    /// <exception cref="CheckpointException">The file changed since it was opened, or cannot be mapped.</exception>
    public unsafe MappedFile(ShardFile file)
    {
        file.RequireUnchanged();
        _byteCount = file.ByteCount;
        try
        {
            _mapping = MemoryMappedFile.CreateFromFile(
                file.Handle, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _mapping.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            _mapping?.Dispose();
            throw new CheckpointException($"{file.Path} of {file.ByteCount} bytes cannot be mapped: {error.Message}", error);
        }

        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        Start = (nint)(start + _view.PointerOffset);

        // Then Linux reads the file in pages of 2 MiB, if its file system can and the page cache has no smaller ones already; see LargePageWriter.
        MemoryAdvice.UseLargePages((void*)Start, _byteCount);
        try
        {
            file.RequireUnchanged();
        }
        catch (CheckpointException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The first byte.</summary>
    public nint Start { get; }

    public bool IsDisposed { get; private set; }

    /// <summary>
    /// Gives back the pages that were touched so far: they stay in the system's page cache, from where the next touch brings them again, but are
    /// no more resident in this process. Only Linux does so.
    /// </summary>
    public unsafe void DropPages() => MemoryAdvice.DropPages((void*)Start, _byteCount);

    public void Dispose()
    {
        if (IsDisposed)
        {
            return;
        }

        IsDisposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _mapping.Dispose();
    }
}
