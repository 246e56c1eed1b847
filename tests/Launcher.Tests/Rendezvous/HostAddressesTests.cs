using System.Net;
using Distributed.Collectives;
using Distributed.Launcher.Rendezvous;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Who owns an endpoint, and who can reach it.</summary>
public sealed class HostAddressesTests
{
    // 110
    [Fact]
    public async Task IsOwn_OfNamesAndAddressesOfThisMachine_IsTrueAndOfOthersFalse()
    {
        foreach (var own in new[] { "localhost", "127.0.0.1", "::1", HostName.Get(), HostName.Get().ToUpperInvariant() })
        {
            Assert.True(HostAddresses.IsOwn(own, await HostAddresses.LookUpAsync(own, CancellationToken.None)), own);
        }

        foreach (var other in new[] { "192.0.2.7", "2001:db8::7", "no-such-host.invalid" })
        {
            Assert.False(HostAddresses.IsOwn(other, await HostAddresses.LookUpAsync(other, CancellationToken.None)), other);
        }
    }

    [Fact]
    public void ToListenOn_AnOwnAddress_IsThatAloneAndATranslatedOneAll()
    {
        Assert.Equal(IPAddress.Loopback, HostAddresses.ToListenOn("localhost", [IPAddress.IPv6Loopback, IPAddress.Loopback]));
        Assert.Equal(IPAddress.Parse("127.0.0.1"), HostAddresses.ToListenOn("127.0.0.1", [IPAddress.Loopback]));
        Assert.Contains(HostAddresses.ToListenOn("192.0.2.7", [IPAddress.Parse("192.0.2.7")]), new[] { IPAddress.Any, IPAddress.IPv6Any });
        Assert.Contains(HostAddresses.ToListenOn("me", [IPAddress.Parse("127.0.1.1")]), new[] { IPAddress.Any, IPAddress.IPv6Any });
    }

    [Theory]
    [InlineData("10.1.2.3", true)]
    [InlineData("172.16.0.1", true)]
    [InlineData("172.32.0.1", false)]
    [InlineData("192.168.7.7", true)]
    [InlineData("100.64.0.1", true)]
    [InlineData("100.128.0.1", false)]
    [InlineData("169.254.1.1", true)]
    [InlineData("127.0.0.1", true)]
    [InlineData("8.8.8.8", false)]
    [InlineData("fd00::1", true)]
    [InlineData("fe80::1", true)]
    [InlineData("2001:db8::1", false)]
    [InlineData("::ffff:10.0.0.1", true)]
    [InlineData("::ffff:8.8.8.8", false)]
    public void IsPrivate_OfAnAddress_IsWhetherTheInternetDoesNotRouteIt(string address, bool expected)
        => Assert.Equal(expected, HostAddresses.IsPrivate(IPAddress.Parse(address)));

    [Fact]
    public async Task Open_OnAPublicAddressWithoutASecret_IsRefusedNamingTheWayOut()
    {
        var options = new RunStoreOptions { Host = "192.0.2.7", Port = 1, IsHost = true };
        var error = await Assert.ThrowsAsync<RendezvousClosedException>(
            () => RunStore.OpenAsync(options, JobKey.Load(null, "run"), "run", TimeSpan.FromSeconds(1), _ => { }, CancellationToken.None)).DefaultTimeout();
        Assert.Contains("--rdzv-conf secret_file=FILE", error.Message, StringComparison.Ordinal);
    }

    [UnixFact]
    public void Load_OfASecretThatIsShortOrOpenToOthers_IsRefused()
    {
        using var files = new TemporaryFolder();
        Assert.Contains("cannot be read from", Refusal(files["missing"]), StringComparison.Ordinal);
        File.WriteAllText(files["key"], new string('s', 31) + "\n");
        Set(UnixFileMode.UserRead);
        Assert.Contains("has 31 bytes and needs 32 to 4096", Refusal(files["key"]), StringComparison.Ordinal);
        Set(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.WriteAllText(files["key"], new string('s', 32) + "\n");
        Assert.True(JobKey.Load(files["key"], "run").IsSecret);
        Set(UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Assert.True(JobKey.Load(files["key"], "run").IsSecret);
        Set(UnixFileMode.UserRead | UnixFileMode.OtherRead);
        Assert.Contains("chmod 400", Refusal(files["key"]), StringComparison.Ordinal);

        void Set(UnixFileMode mode)
        {
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(files["key"], mode);
            }
        }

        static string Refusal(string path) => Assert.Throws<RendezvousClosedException>(() => JobKey.Load(path, "run")).Message;
    }

    [Fact]
    public void ForRanks_OfTwoRoundsOrRuns_AreUnrelated()
    {
        var key = JobKey.Load(null, "run");
        var proofs = new[] { key.ForRanks("n", 0), key.ForRanks("n", 1), key.ForRanks("m", 0), JobKey.Load(null, "other").ForRanks("n", 0) }
            .Select(identity => Convert.ToHexString(identity.Secret.Prove("test", "message"u8)));
        Assert.Equal(4, proofs.Distinct().Count());
        Assert.Equal(key.ForRanks("n", 0).Secret.Prove("test", "m"u8), JobKey.Load(null, "run").ForRanks("n", 0).Secret.Prove("test", "m"u8));
    }
}
