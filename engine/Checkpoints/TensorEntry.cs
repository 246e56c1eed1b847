using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>A tensor of a file, proved to lie in it as one contiguous row-major block.</summary>
/// <param name="Name">As the file has it.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first.</param>
/// <param name="Offset">Of the first element in the file.</param>
/// <param name="ByteCount">Of all elements.</param>
internal sealed record TensorEntry(string Name, StorageType Type, ImmutableArray<long> Shape, long Offset, long ByteCount)
{
    /// <summary>The tensor in a mapping of its file that begins at <paramref name="start"/>; its type was let through before.</summary>
    public MappedTensor Map(nint start)
        => new(
            Name,
            Type.TensorType ?? throw new InvalidOperationException($"{Name} was let through as {Type.Name}."),
            Shape,
            start + (nint)Offset);
}
