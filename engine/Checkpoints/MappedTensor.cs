using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A tensor in the mapped file of its shard: a view, not a copy, valid until the shard is disposed.
/// </summary>
/// <param name="Name">Meta's name, <c>layers.0.attention.wq.weight</c>.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first; the elements are contiguous in row-major order.</param>
/// <param name="Data">The first element; aligned to the element at least, checked to lie in the file with all that follow it.</param>
public readonly record struct MappedTensor(string Name, TensorType Type, ImmutableArray<long> Shape, nint Data);
