using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>A tensor of a shard, proved to lie in the file as one contiguous row-major block.</summary>
/// <param name="Name">Meta's name.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first.</param>
/// <param name="Offset">Of the first element in the file.</param>
/// <param name="ByteCount">Of all elements.</param>
internal sealed record TensorEntry(string Name, StorageType Type, ImmutableArray<long> Shape, long Offset, long ByteCount);
