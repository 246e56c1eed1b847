using System.Collections.Frozen;
using System.IO.MemoryMappedFiles;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// One shard's file mapped read-only into memory: its tensors are views of the page cache, nothing is copied. Every view is void once
/// this is disposed; the <see cref="MetaCheckpoint"/> that it came from may be disposed before.
/// </summary>
/// <remarks>The file must not be written to while it is mapped: a page that a truncation takes away ends the process.</remarks>
public sealed class MappedShard : IDisposable
{
    /// <summary>Between two looks at the cancellation token; a few milliseconds of checksum, some more from a disk.</summary>
    private const int ChunkByteCount = 16 << 20;

    private readonly string _path;
    private readonly ShardIndex _index;
    private readonly FrozenDictionary<string, MappedTensor> _tensors;
    private readonly MemoryMappedFile _mapping;
    private readonly MemoryMappedViewAccessor _view;
    private readonly nint _start;
    private bool _disposed;

    /// <exception cref="CheckpointException">The file changed since it was validated, or cannot be mapped.</exception>
    internal unsafe MappedShard(ShardFile file, ShardIndex index)
    {
        _path = file.Path;
        _index = index;
        file.RequireUnchanged();
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
        _start = (nint)(start + _view.PointerOffset);
        try
        {
            file.RequireUnchanged();
        }
        catch (CheckpointException)
        {
            Dispose();
            throw;
        }

        _tensors = index.Tensors.Values
            .Where(tensor => !LlamaTensors.IsIgnored(tensor.Name))
            .Select(tensor => new MappedTensor(tensor.Name, SupportedTypeOf(tensor), tensor.Shape, _start + (nint)tensor.Offset))
            .ToFrozenDictionary(tensor => tensor.Name, StringComparer.Ordinal);

        // Tied embeddings: the checkpoint allows it only where this shard's rows of both are the same.
        if (!_tensors.ContainsKey(LlamaTensors.Output) && _tensors.TryGetValue(LlamaTensors.Embedding, out var embedding))
        {
            _tensors = _tensors.Append(new(LlamaTensors.Output, embedding with { Name = LlamaTensors.Output }))
                .ToFrozenDictionary(StringComparer.Ordinal);
        }
    }

    /// <summary>Bytes of the file that tensors occupy.</summary>
    public long ByteCount => _index.Storages.Sum(storage => storage.ByteCount);

    /// <summary>
    /// The tensor of this name: this shard's part of it. <c>output.weight</c> is the embedding where the model ties the two.
    /// </summary>
    /// <exception cref="KeyNotFoundException">A Llama has no tensor of this name; all that it has are there.</exception>
    public MappedTensor this[string name]
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _tensors.TryGetValue(name, out var tensor) ? tensor : throw new KeyNotFoundException($"{_path} has no tensor '{name}'.");
        }
    }

    /// <summary>Whether there is a tensor of this name.</summary>
    public bool Contains(string name) => _tensors.ContainsKey(name);

    /// <summary>Compares every tensor's bytes with the checksum in the file, which reads all of it.</summary>
    /// <param name="threadCount">At most so many threads of the pool, the caller's among them.</param>
    /// <param name="progress">Told the number of bytes read so far, out of <see cref="ByteCount"/>, from any of the threads.</param>
    /// <param name="cancellationToken">Ends it with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="CheckpointException">A storage is not what was saved; the first in the file is named.</exception>
    public void VerifyChecksums(int threadCount, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var storages = _index.Storages;
        long read = 0;
        var options = new ParallelOptions { MaxDegreeOfParallelism = threadCount, CancellationToken = cancellationToken };
        var result = System.Threading.Tasks.Parallel.For(0, storages.Length, options, (number, loop) =>
        {
            if (!Matches(storages[number], loop, Report, cancellationToken))
            {
                loop.Break();    // those before it still run, so the first damaged one is found whatever the threads do
            }
        });

        if (result.LowestBreakIteration is { } damaged)
        {
            var storage = storages[(int)damaged];
            var tensor = _index.Tensors.Values
                .Where(tensor => tensor.Offset >= storage.Offset && tensor.Offset < storage.Offset + storage.ByteCount)
                .MinBy(tensor => tensor.Offset)!;    // every storage is some tensor's
            throw new CheckpointException($"{_path} is damaged: tensor '{tensor.Name}' does not match its checksum; download it again.");
        }

        void Report(long byteCount) => progress?.Report(Interlocked.Add(ref read, byteCount));
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _mapping.Dispose();
    }

    /// <summary>Whether a storage has its checksum; where the loop ends meanwhile the answer does not matter.</summary>
    private unsafe bool Matches(ZipMember storage, ParallelLoopState loop, Action<long> report, CancellationToken cancellationToken)
    {
        uint crc = 0;
        for (long done = 0; done < storage.ByteCount && !loop.ShouldExitCurrentIteration; done += ChunkByteCount)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = (int)Math.Min(ChunkByteCount, storage.ByteCount - done);
            crc = Crc32.Append(crc, new ReadOnlySpan<byte>((byte*)_start + storage.Offset + done, count));
            report(count);
        }

        return crc == storage.Crc32;
    }

    private static TensorType SupportedTypeOf(TensorEntry tensor)
        => tensor.Type.TensorType ?? throw new InvalidOperationException($"{tensor.Name} was let through as {tensor.Type.Name}.");
}
