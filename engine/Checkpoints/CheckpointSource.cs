using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A model's config and weights in files, proved consistent when it was opened: every tensor's name, shape, type and place in its file.
/// Nothing of the weights is read before a rank touches them, and any number of ranks can load any checkpoint.
/// </summary>
public abstract class CheckpointSource : IDisposable
{
    /// <summary>The shape of the model.</summary>
    public abstract LlamaConfig Config { get; }

    /// <summary>The number of parts into which the files divide each divided tensor; it limits no world size.</summary>
    public abstract int ShardCount { get; }

    /// <summary>Bytes of all tensors in the files.</summary>
    public abstract long ByteCount { get; }

    /// <summary>Whose model it is.</summary>
    public virtual ModelFamily Family => ModelFamily.Llama;

    /// <summary>The tokens that end a text; empty where the files leave it to the tokenizer.</summary>
    public virtual ImmutableArray<int> EosTokenIds => [];

    /// <summary>
    /// <see cref="TensorType.Int8"/> or <see cref="TensorType.Int4"/> where the matrices were quantised by <see cref="CheckpointConverter"/>; <see langword="null"/>
    /// where they are as the model was published.
    /// </summary>
    public virtual TensorType? Quantization => null;

    /// <summary>Maps the files; the caller disposes the mapping, before or after this.</summary>
    /// <exception cref="CheckpointException">A file changed since the checkpoint was opened, or cannot be mapped.</exception>
    public abstract MappedCheckpoint Map();

    /// <summary>
    /// Compares a part of the tensors' bytes with the checksums in the files; does nothing where the format has none. The ranks of a host
    /// that each take one part have read all files once.
    /// </summary>
    /// <param name="part">0 to <paramref name="partCount"/> - 1.</param>
    /// <param name="partCount">The number of parts, of about equal bytes.</param>
    /// <param name="threadCount">At most so many threads of the pool, the caller's among them.</param>
    /// <param name="progress">Told the bytes read so far, of those of the part, from any of the threads.</param>
    /// <param name="cancellationToken">Ends it with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="CheckpointException">A tensor is not what was saved; it is named.</exception>
    public abstract void VerifyChecksums(
        int part, int partCount, int threadCount, IProgress<(long Done, long Total)>? progress, CancellationToken cancellationToken);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the files; what was mapped stays mapped.</summary>
    protected abstract void Dispose(bool disposing);
}
