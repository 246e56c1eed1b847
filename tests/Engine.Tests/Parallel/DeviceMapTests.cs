using System.Globalization;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Parallel;

public sealed class DeviceMapTests
{
    private const long Gibibyte = 1L << 30;

    // Llama-2-7b: layers of 386 MiB in bfloat16, an embedding and an output layer of 250 MiB; 2048 positions are 64 MiB a layer.
    private static readonly LlamaConfig Large = new()
    {
        Dimension = 4096,
        LayerCount = 32,
        HeadCount = 32,
        KeyValueHeadCount = 32,
        HiddenDimension = 11008,
        VocabularySize = 32000,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(DeviceMapPolicy.Auto, "16,16", "20 20")]
    [InlineData(DeviceMapPolicy.Auto, "9,23", "4.6 20")] // what the first has room for
    [InlineData(DeviceMapPolicy.Auto, "11,11,10", "20 20 20")]
    [InlineData(DeviceMapPolicy.Balanced, "16,16", "8 20")]
    [InlineData(DeviceMapPolicy.Balanced, null, "4.6 20")]
    [InlineData(DeviceMapPolicy.Sequential, "31,1", "20 20")]
    [InlineData(DeviceMapPolicy.Sequential, "17,15", "8 20")]
    [InlineData(DeviceMapPolicy.Sequential, "17,14,1", "8 20 20")]
    [InlineData(DeviceMapPolicy.Sequential, null, "8 4")]
    [InlineData(DeviceMapPolicy.Auto, null, "8 4")]
    [InlineData(DeviceMapPolicy.Auto, null, "0.1 40")]
    public void Create_MemoryOfTheRanks_DecidesAsThePolicySays(DeviceMapPolicy policy, string? expected, string gibibytes)
    {
        long[] free = [.. gibibytes.Split(' ').Select(size => (long)(double.Parse(size, CultureInfo.InvariantCulture) * Gibibyte))];

        var (map, problem) = DeviceMap.Create(
            Large, TensorType.BFloat16, WeightFormat.Stored, 2048, ModelMesh.OneRankAStage(free.Length), policy, free);

        Assert.Equal(expected, map is null ? null : string.Join(',', map.LayersPerStage));
        Assert.Equal(expected is null, problem is not null);
        if (map is not null)
        {
            Assert.Equal(free.Length, map.Lines.Count);
            return;
        }

        Assert.Contains("cannot place the model: it has 12.55 GiB of weights and 2.00 GiB of cache", problem, StringComparison.Ordinal);
        Assert.Contains(policy == DeviceMapPolicy.Balanced ? "and has 4.60 GiB free; use --device-map auto" : "GiB free; add machines", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_TwoRanksAStage_CountsWhatEachHasAndTheLeastFree()
    {
        long[] free = [9 * Gibibyte, 6 * Gibibyte, 12 * Gibibyte, 12 * Gibibyte];
        var mesh = new ModelMesh { StageCount = 2, StageSize = 2 };

        var (map, _) = DeviceMap.Create(Large, TensorType.BFloat16, WeightFormat.Stored, 2048, mesh, DeviceMapPolicy.Auto, free);

        Assert.Equal(
        [
            "stage 0 (ranks 0, 1): embedding, layers 0-15 | 3.14 GiB of weights, 512.0 MiB of cache a rank | 6.00 GiB free",
            "stage 1 (ranks 2, 3): layers 16-31, output | 3.14 GiB of weights, 512.0 MiB of cache a rank | 12.00 GiB free",
        ], map!.Lines);
    }

    [Fact]
    public void Create_QuantisedWeights_TakeLess()
    {
        long[] free = [5 * Gibibyte];

        Assert.Null(Map(WeightFormat.Int8));
        Assert.NotNull(Map(WeightFormat.Int4));

        DeviceMap? Map(WeightFormat format)
            => DeviceMap.Create(Large, TensorType.BFloat16, format, 64, ModelMesh.OneStage(1), DeviceMapPolicy.Auto, free).Map;
    }

    [Fact]
    public void Create_NarrowCache_TakesLess()
    {
        var (map, _) = DeviceMap.Create(
            Large, TensorType.BFloat16, WeightFormat.Stored, 2048, ModelMesh.OneStage(1), DeviceMapPolicy.Auto, [20 * Gibibyte], CacheFormat.Int8);

        // A vector of 128 in 132 bytes and not 512.
        Assert.Contains("528.0 MiB of cache", Assert.Single(map!.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(32, 2, 1, 1, "16,16")]
    [InlineData(5, 2, 0, 0, "2,3")]
    [InlineData(5, 2, 1, 0, "2,3")]
    [InlineData(5, 2, 0, 1, "3,2")]
    [InlineData(16, 2, 0, 4, "10,6")] // an output layer as heavy as four others
    [InlineData(7, 4, 0, 0, "1,2,2,2")]
    [InlineData(4, 4, 3, 3, "1,1,1,1")]
    public void ByBytes_EmbeddingAndOutput_AreWeighedInTheirStages(int layerCount, int stageCount, int embedding, int output, string expected)
    {
        var split = LayerSplit.ByBytes(new ModelBytes(embedding * 100, 100, output * 100), layerCount, stageCount);

        Assert.Equal(layerCount, split.Sum());
        if (layerCount % stageCount == 0 || embedding != output)
        {
            Assert.Equal(expected, string.Join(',', split));
        }

        Assert.Equal(
            expected.Split(',').Select(int.Parse).Order(),
            split.Order()); // which of equal stages has one more is of no matter
    }

    [Theory]
    [InlineData("pp=2,tp=4", 8, "pp=2,tp=4")]
    [InlineData("tp=2, pp=3", 6, "tp=2,pp=3")]
    [InlineData("pp=4", 8, "pp=4,tp=2")]
    [InlineData("tp=2", 8, "pp=4,tp=2")]
    [InlineData("dp=1,pp=2,tp=1", 2, "pp=2,tp=1")]
    public void Parse_Mesh_LaysRanksOutAsNamed(string text, int worldSize, string expected)
    {
        var mesh = ModelMesh.Parse(text, worldSize).Mesh!;

        Assert.Equal(expected, mesh.ToString());
        var ranks = Enumerable.Range(0, worldSize).ToArray();
        Assert.Equal(ranks, ranks.Select(rank => mesh.RankAt(mesh.StageOf(rank), mesh.IndexOf(rank))));
        var lastIsStage = expected.StartsWith("tp", StringComparison.Ordinal);
        Assert.Equal(lastIsStage && mesh.StageCount > 1 ? 1 : 0, mesh.StageOf(1 % Math.Max(1, lastIsStage ? worldSize : mesh.StageSize)));
    }

    [Theory]
    [InlineData("pp=2,tp=2", 2, "has 4 ranks (2 stages x 2), and 2 are running")]
    [InlineData("pp=3", 4, "has 3 ranks (3 stages x 1), and 4 are running")]
    [InlineData("pp=2,pp=2", 4, "names pp twice")]
    [InlineData("dp=2,tp=2", 4, "has dp=2, but one model is divided by pp (its layers) and tp (within each layer) only")]
    [InlineData("pp=0,tp=2", 2, "is not of the form")]
    [InlineData("pp", 2, "is not of the form")]
    [InlineData("pp=99999999999", 2, "is not of the form")]
    [InlineData("pp=2000000000,tp=2000000000", 2, "has 4000000000000000000 ranks")]
    public void Parse_MeshThatCannotBe_SaysWhy(string text, int worldSize, string clause)
    {
        var (mesh, problem) = ModelMesh.Parse(text, worldSize);

        Assert.Null(mesh);
        Assert.Contains(clause, problem, StringComparison.Ordinal);
    }

    /// <summary>What the Torch backend has on its device: its own types, and a cache as wide as its precision says.</summary>
    [Theory]
    [InlineData(TorchDataType.Stored, TorchPrecision.High, TensorType.BFloat16, CacheFormat.Float32)]
    [InlineData(TorchDataType.Stored, TorchPrecision.Medium, TensorType.BFloat16, CacheFormat.BFloat16)]
    [InlineData(TorchDataType.Float16, TorchPrecision.Medium, TensorType.Float16, CacheFormat.BFloat16)]
    [InlineData(TorchDataType.Float32, TorchPrecision.Medium, TensorType.Float32, CacheFormat.Float32)]
    public void Torch_OfBFloat16Files_CountsWhatItsDeviceHolds(TorchDataType type, TorchPrecision precision, TensorType weights, CacheFormat cache)
    {
        var torch = new TorchOptions { DataType = type, Precision = precision };

        Assert.Equal((weights, cache), (torch.TypeOf(TensorType.BFloat16), torch.CacheFormatOf(TensorType.BFloat16)));
    }

    [Theory]
    [InlineData(2, "1 1")]
    [InlineData(8, "1 1 1")]
    [InlineData(1, "4 4 4 4")]
    [InlineData(2, "3 2 3 2 3")]
    [InlineData(3, "2 1 1 2")]
    public void Torch_RanksBeyondTheLastGpu_ShareFromTheFirstOn(int gpuCount, string expected)
    {
        var count = expected.Split(' ').Length;

        Assert.Equal(expected, string.Join(' ', Enumerable.Range(0, count).Select(rank => new TorchOptions { LocalRank = rank, LocalWorldSize = count }.SharersOf(gpuCount))));
    }
}
