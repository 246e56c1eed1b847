using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>Gives the bytes of a tensor piece by piece, in order and without gaps.</summary>
/// <param name="offset">Of the first byte of <paramref name="destination"/> in the tensor; a multiple of 64.</param>
/// <param name="destination">To be filled whole with little-endian elements in row-major order.</param>
public delegate void FillTensor(long offset, Span<byte> destination);

/// <summary>A tensor to be written to a shard.</summary>
/// <param name="Name">Meta's name.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first; each at least 1.</param>
/// <param name="Fill">Called while the shard is written, on the writer's thread.</param>
public sealed record ShardTensor(string Name, TensorType Type, ImmutableArray<long> Shape, FillTensor Fill)
{
    internal long ElementCount => checked(Shape.Aggregate(1L, (count, extent) => count * extent));
}
