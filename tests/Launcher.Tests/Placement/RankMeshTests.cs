using Distributed.Launcher.Placement;

namespace Distributed.Launcher.Tests.Placement;

public sealed class RankMeshTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [Fact]
    public void Coordinates_OfAllRanks_AreAllDifferentAndTheLastDimensionIsFastest()
    {
        var mesh = RankMesh.Parse("dp=2,pp=3,tp=4").Mesh!;
        Assert.Equal(24, mesh.Size);
        Assert.Equal([0, 0, 1], mesh.CoordinatesOf(1));
        Assert.Equal([1, 2, 3], mesh.CoordinatesOf(23));
        Assert.Equal(Enumerable.Range(0, 24), Enumerable.Range(0, 24).Select(rank => mesh.CoordinatesOf(rank) is [var dp, var pp, var tp] ? (((dp * 3) + pp) * 4) + tp : -1));
    }

    [Fact]
    public void Map_HasALineForEachInnermostGroup()
        => Assert.Equal(["pp=0 ranks 0-3 are tp 0-3", "pp=1 ranks 4-7 are tp 0-3"], RankMesh.Parse("pp=2,tp=4").Mesh!.Map());

    [Theory]
    [InlineData("tp")]
    [InlineData("tp=0")]
    [InlineData("tp=a")]
    [InlineData("TP=2")]
    [InlineData("=2")]
    [InlineData("tp=2,tp=2")]
    [InlineData("local=2")]
    [InlineData("tp=2,")]
    [InlineData("a=65536,b=65536")]
    public void Parse_WhatIsNoMesh_SaysWhy(string text) => Assert.NotNull(RankMesh.Parse(text).Problem);

    [UnixFact]
    public async Task Ranks_FindTheirPlaceInTheMesh()
    {
        _distrun.Environment["OMP_NUM_THREADS"] = "1";
        var result = await _distrun.Run(
            "--nproc-per-node", "4", "--mesh", "pp=2,tp=2", "sh", "-c", "echo $PP_RANK/$PP_SIZE $TP_RANK/$TP_SIZE $DISTRUN_MESH");
        Assert.Equal(
            ["[rank0]: 0/2 0/2 pp=2,tp=2", "[rank1]: 0/2 1/2 pp=2,tp=2", "[rank2]: 1/2 0/2 pp=2,tp=2", "[rank3]: 1/2 1/2 pp=2,tp=2"], result.OutputLines.Order());
        Assert.Equal("distrun: mesh pp=0 ranks 0-1 are tp 0-1\ndistrun: mesh pp=1 ranks 2-3 are tp 0-1\n", result.Error);
    }

    [UnixTheory]
    [InlineData("pp=2,tp=4", "--mesh pp=2,tp=4 has 8 ranks, and there are 3 (1 nodes x 3); make them equal.")]
    [InlineData("pp", "--mesh pp is not of the form pp=2,tp=4; write pp=2,tp=4, say.")]
    [InlineData("role=3", "--mesh role=3 has the name role, whose variable ROLE_RANK is taken; write pp=2,tp=4, say.")]
    public async Task Mesh_ThatDoesNotFit_IsRefused(string mesh, string expected)
    {
        var result = await _distrun.Run("--nproc-per-node", "3", "--mesh", mesh, "touch", "started");
        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith($"distrun: {expected}\n", result.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_distrun.Files["started"]));
    }
}
