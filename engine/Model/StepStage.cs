namespace Distributed.Engine.Model;

/// <summary>
/// The parts of a step in the order in which they run, as numbers that ranks exchange. After the first sum over ranks everybody has what
/// one rank got wrong, so the rank at fault is the one whose own result went bad at the earliest stage.
/// </summary>
internal static class StepStage
{
    /// <summary>No part: all results were finite.</summary>
    public const int None = int.MaxValue;

    /// <summary>The embedding.</summary>
    public const int Embedding = 0;

    /// <summary>The attention of a layer, before the sum over ranks.</summary>
    public static int Attention(int layer) => 1 + (2 * layer);

    /// <summary>The feed-forward part of a layer, before the sum over ranks.</summary>
    public static int FeedForward(int layer) => 2 + (2 * layer);

    /// <summary>The logits.</summary>
    public static int Logits(int layerCount) => 1 + (2 * layerCount);

    /// <summary>The stage in words, and its layer where it has one.</summary>
    public static (string Part, int? Layer) Describe(int stage, int layerCount)
        => stage == Embedding ? ("the token embedding", null)
            : stage >= Logits(layerCount) ? ("the logits", null)
            : ((stage - 1) % 2 == 0 ? "the attention" : "the feed-forward part", (stage - 1) / 2);
}
