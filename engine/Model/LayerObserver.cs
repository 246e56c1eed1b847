namespace Distributed.Engine.Model;

/// <summary>Sees what flows from layer to layer, for whoever compares two runs.</summary>
/// <param name="layer">The layer that has just added to it.</param>
/// <param name="isFeedForward">Whether the layer's second part has, and not its first, attention.</param>
/// <param name="hidden">[token, dimension], valid until the observer returns; equal on all ranks of a sound run.</param>
internal delegate void LayerObserver(int layer, bool isFeedForward, ReadOnlySpan<float> hidden);
