using System.Collections.Frozen;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// All files of a checkpoint mapped into memory, and the whole tensors that they hold together. Of the mapping only what is touched is read:
/// a rank's own rows and columns, and the embeddings of the tokens that it meets.
/// </summary>
public sealed class MappedCheckpoint : IDisposable
{
    private readonly MappedFile[] _files;
    private readonly StoredTensor[] _inOrder;
    private readonly FrozenDictionary<string, StoredTensor> _tensors;
    private bool _disposed;

    internal MappedCheckpoint(IEnumerable<MappedFile> files, IEnumerable<StoredTensor> tensors)
    {
        _files = [.. files];
        _inOrder = [.. tensors];
        _tensors = _inOrder.ToFrozenDictionary(tensor => tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>All tensors in the order of the forward pass.</summary>
    public IEnumerable<TensorSummary> Tensors
        => _inOrder.Select(tensor => new TensorSummary(tensor.Name, tensor.Type, tensor.Shape, tensor.Parts.Length));

    /// <summary>Whether the files have no output of their own, which is then the embedding.</summary>
    public bool TiesOutput => !_tensors.ContainsKey(LlamaTensors.Output);

    /// <summary>The tensor of Meta's name; <c>output.weight</c> is the embedding where the model ties the two.</summary>
    /// <exception cref="KeyNotFoundException">The model has no tensor of this name; all that its config asks for are there.</exception>
    internal StoredTensor this[string name]
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _tensors.TryGetValue(name, out var tensor) ? tensor
                : name == LlamaTensors.Output ? this[LlamaTensors.Embedding]
                : throw new KeyNotFoundException($"The checkpoint has no tensor '{name}'.");
        }
    }

    /// <summary>Says that what was read so far will not be read again soon: it counts no more for this process; see <see cref="MappedFile.DropPages"/>.</summary>
    internal void DropPages() => Array.ForEach(_files, file => file.DropPages());

    public void Dispose()
    {
        _disposed = true;
        Array.ForEach(_files, file => file.Dispose());
    }
}
