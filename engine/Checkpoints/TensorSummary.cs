using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>A tensor of a checkpoint, for whoever lists them.</summary>
/// <param name="Name">Meta's name.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Of the whole.</param>
/// <param name="PartCount">The files that it is divided among.</param>
public sealed record TensorSummary(string Name, TensorType Type, ImmutableArray<long> Shape, int PartCount);
