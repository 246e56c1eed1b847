namespace Distributed.Collectives.Tests;

/// <summary>A few seeds of the campaign: each fault over a Unix socket, and over TLS.</summary>
public sealed class FaultCampaignTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 2 * Enum.GetValues<WireFault>().Length)];

    [UnixTheory]
    [MemberData(nameof(Seeds))]
    public async Task Sums_OverAHarmedConnection_AreRightOrNone(int seed) => Assert.Null((await FaultCampaign.RunAsync(seed)).Problem);
}
