namespace Distributed.Collectives.Tests;

/// <summary>A few seeds of the campaign, each fault among them.</summary>
public sealed class FaultCampaignTests
{
    [UnixTheory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(10)]
    [InlineData(11)]
    public async Task Sums_OverAHarmedConnection_AreRightOrNone(int seed) => Assert.Null(await FaultCampaign.RunAsync(seed));
}
