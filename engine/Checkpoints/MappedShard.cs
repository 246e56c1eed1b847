using System.Collections.Frozen;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// One of Meta's shards mapped read-only into memory: its tensors are views of the page cache. Every view is void once this is disposed;
/// the <see cref="MetaCheckpoint"/> that it came from may be disposed before.
/// </summary>
public sealed class MappedShard : IDisposable
{
    /// <summary>Between two looks at the cancellation token; a few milliseconds of checksum, some more from a disk.</summary>
    private const int ChunkByteCount = 16 << 20;

    private readonly string _path;
    private readonly ShardIndex _index;
    private readonly MappedFile _file;
    private readonly FrozenDictionary<string, MappedTensor> _tensors;

    /// <exception cref="CheckpointException">The file changed since it was validated, or cannot be mapped.</exception>
    internal MappedShard(ShardFile file, ShardIndex index)
    {
        _path = file.Path;
        _index = index;
        _file = new MappedFile(file);
        _tensors = index.Tensors.Values
            .Where(tensor => !LlamaTensors.IsIgnored(tensor.Name))
            .Select(tensor => tensor.Map(_file.Start))
            .ToFrozenDictionary(tensor => tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>The mapping.</summary>
    internal MappedFile File => _file;

    /// <summary>Bytes of the file that tensors occupy.</summary>
    public long ByteCount => _index.ByteCount;

    /// <summary>The tensor of this name: this shard's part of it.</summary>
    /// <exception cref="KeyNotFoundException">The shard has no tensor of this name.</exception>
    public MappedTensor this[string name]
    {
        get
        {
            ObjectDisposedException.ThrowIf(_file.IsDisposed, this);
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
        => VerifyChecksums([.. _index.Storages], threadCount, progress, cancellationToken);

    /// <summary>As the public one, for some of the storages.</summary>
    internal void VerifyChecksums(
        IReadOnlyList<ZipMember> storages, int threadCount, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_file.IsDisposed, this);
        long read = 0;
        var options = new ParallelOptions { MaxDegreeOfParallelism = threadCount, CancellationToken = cancellationToken };
        var result = System.Threading.Tasks.Parallel.For(0, storages.Count, options, (number, loop) =>
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

    public void Dispose() => _file.Dispose();

    /// <summary>Whether a storage has its checksum; where the loop ends meanwhile the answer does not matter.</summary>
    private unsafe bool Matches(ZipMember storage, ParallelLoopState loop, Action<long> report, CancellationToken cancellationToken)
    {
        uint crc = 0;
        for (long done = 0; done < storage.ByteCount && !loop.ShouldExitCurrentIteration; done += ChunkByteCount)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = (int)Math.Min(ChunkByteCount, storage.ByteCount - done);
            var chunk = (byte*)_file.Start + storage.Offset + done;
            crc = Crc32.Append(crc, new ReadOnlySpan<byte>(chunk, count));
            MemoryAdvice.DropPages(chunk, count); // a check of the whole file is no reason to count all of it for this process
            report(count);
        }

        return crc == storage.Crc32;
    }
}
