using System.Collections.Immutable;
using System.Globalization;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Worker.Options;

/// <summary>Where the model's layers go, as far as that can be read without knowing the ranks and the model.</summary>
internal sealed record PlacementOptions
{
    private const string LauncherMesh = "DISTRUN_MESH";
    private const int MaxMicroBatchCount = 1024;

    /// <summary>The mesh and how sentences call it; <see langword="null"/> where neither the worker nor the launcher was told one.</summary>
    public required (string Source, string Text)? Mesh { get; init; }

    /// <summary>[stage], layers; default where nothing was said.</summary>
    public required ImmutableArray<int> LayersPerStage { get; init; }

    /// <summary>The most parts of a step; <see langword="null"/> for what the model takes.</summary>
    public required int? MicroBatchCount { get; init; }

    /// <summary>How layers are placed by the memory of the ranks; <see langword="null"/> for not at all.</summary>
    public required DeviceMapPolicy? DeviceMap { get; init; }

    /// <summary>Reads them.</summary>
    public static PlacementOptions Read(OptionValues values, OptionReader reader, List<string> problems)
    {
        var split = reader.Integers(OptionCatalog.Split, "layers of each stage, such as 12,20");
        var deviceMap = reader.OptionalChoice<DeviceMapPolicy>(OptionCatalog.DeviceMap);
        if (deviceMap is not null && !split.IsDefault)
        {
            problems.Add("--split and --device-map both place the layers; keep one.");
        }

        return new PlacementOptions
        {
            Mesh = values[OptionCatalog.Mesh] is { } given ? (given.Source, given.Last) : MeshOfLauncher(Environment.GetEnvironmentVariable(LauncherMesh)),
            LayersPerStage = split,
            MicroBatchCount = reader.IntegerOrNone(OptionCatalog.MicroBatches, null, 1, MaxMicroBatchCount),
            DeviceMap = deviceMap,
        };
    }

    /// <summary>The mesh of so many ranks; with a sentence in <paramref name="problems"/> where it cannot be, one stage.</summary>
    public ModelMesh MeshOf(int worldSize, List<string> problems)
    {
        if (Mesh is not { } given)
        {
            return DeviceMap is null ? ModelMesh.OneStage(worldSize) : ModelMesh.OneRankAStage(worldSize);
        }

        var (mesh, problem) = ModelMesh.Parse(given.Text, worldSize);
        if (mesh is null)
        {
            problems.Add($"{given.Source} {OptionReader.Shown(given.Text)} {problem}.");
        }

        return mesh ?? ModelMesh.OneStage(worldSize);
    }

    /// <summary>Adds a sentence where layers and stages do not go together.</summary>
    public void Check(LlamaConfig config, ModelMesh mesh, List<string> problems)
    {
        if (!LayersPerStage.IsDefault && LayerSplit.FindMistake(LayersPerStage, config.LayerCount, mesh.StageCount) is { } mistake)
        {
            problems.Add($"--{OptionCatalog.Split} {string.Join(',', LayersPerStage.Select(count => count.ToString(CultureInfo.InvariantCulture)))} {mistake}.");
        }
    }

    // A mesh without pp and tp says nothing of the model: it may be there for other reasons, such as where ranks are placed.
    private static (string Source, string Text)? MeshOfLauncher(string? text)
        => text?.Split(',').Any(part => part.StartsWith("pp=", StringComparison.Ordinal) || part.StartsWith("tp=", StringComparison.Ordinal)) == true
            ? ("distrun's --mesh", text)
            : null;
}
