using System.Globalization;

namespace Distributed.Engine.Parallel;

/// <summary>
/// The ranks as a grid: <c>pp</c> stages that follow each other, each with its layers, times <c>tp</c> ranks that divide each of these layers among
/// them. Laid out as <see cref="Collectives.ProcessMesh"/> does: the dimension that is named last is that of neighbouring ranks.
/// </summary>
public sealed record ModelMesh
{
    /// <summary>Pipeline stages: pp.</summary>
    public required int StageCount { get; init; }

    /// <summary>Ranks of each stage: tp.</summary>
    public required int StageSize { get; init; }

    /// <summary>Whether ranks that follow each other are in stages that follow each other: <c>tp=2,pp=2</c>.</summary>
    public bool StagesAreNeighbours { get; init; }

    /// <summary>All ranks.</summary>
    public int WorldSize => StageCount * StageSize;

    /// <summary>One stage of all ranks.</summary>
    public static ModelMesh OneStage(int worldSize) => new() { StageCount = 1, StageSize = worldSize };

    /// <summary>A stage a rank.</summary>
    public static ModelMesh OneRankAStage(int worldSize) => new() { StageCount = worldSize, StageSize = 1 };

    /// <summary>Reads <c>pp=2,tp=2</c>, in either order; one that is left out is what is left of the ranks, or 1.</summary>
    /// <param name="text">The mesh; other dimensions, such as dp, may be there with size 1.</param>
    /// <param name="worldSize">The number of ranks; <see langword="null"/> for as many as the mesh says.</param>
    /// <returns>The mesh; or a clause that says why the text is none for so many ranks.</returns>
    public static (ModelMesh? Mesh, string? Problem) Parse(string text, int? worldSize)
    {
        ArgumentNullException.ThrowIfNull(text);
        int? stages = null, size = null;
        var stagesAreLast = false;
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || !int.TryParse(part.AsSpan(equals + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count < 1)
            {
                return (null, "is not of the form pp=2,tp=4");
            }

            switch (part[..equals])
            {
                case "pp" when stages is null:
                    (stages, stagesAreLast) = (count, size is not null);
                    break;
                case "tp" when size is null:
                    size = count;
                    break;
                case "pp" or "tp":
                    return (null, $"names {part[..equals]} twice");
                case var _ when count > 1:
                    return (null, $"has {part}, but one model is divided by pp (its layers) and tp (within each layer) only; start a job a copy");
                default:
                    break;
            }
        }

        var ranks = worldSize ?? (long)(stages ?? 1) * (size ?? 1);
        if (ranks > int.MaxValue)
        {
            return (null, "has more ranks than there can be");
        }

        // What is left out takes what is left of the ranks.
        var (stageCount, stageSize) = (stages, size) switch
        {
            ({ } both, { } each) => (both, each),
            ({ } given, null) => (given, (int)Math.Max(1, ranks / given)),
            (null, { } given) => ((int)Math.Max(1, ranks / given), given),
            _ => (1, (int)ranks),
        };
        return (long)stageCount * stageSize == ranks
            ? (new ModelMesh { StageCount = stageCount, StageSize = stageSize, StagesAreNeighbours = stagesAreLast }, null)
            : (null, FormattableString.Invariant(
                $"has {(long)stageCount * stageSize} ranks ({stageCount} stages x {stageSize}), and {ranks} {(ranks == 1 ? "is" : "are")} running; the product is the number of ranks"));
    }

    /// <summary>The stage of a rank.</summary>
    public int StageOf(int rank) => StagesAreNeighbours ? rank % StageCount : rank / StageSize;

    /// <summary>A rank's number within its stage.</summary>
    public int IndexOf(int rank) => StagesAreNeighbours ? rank / StageCount : rank % StageSize;

    /// <summary>The rank of this number in a stage.</summary>
    public int RankAt(int stage, int index) => StagesAreNeighbours ? (index * StageCount) + stage : (stage * StageSize) + index;

    /// <summary>The ranks of a stage, ascending.</summary>
    public int[] RanksOf(int stage) => [.. Enumerable.Range(0, StageSize).Select(index => RankAt(stage, index))];

    /// <inheritdoc/>
    public override string ToString()
        => StagesAreNeighbours ? FormattableString.Invariant($"tp={StageSize},pp={StageCount}") : FormattableString.Invariant($"pp={StageCount},tp={StageSize}");
}
