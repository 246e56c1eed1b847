using System.Net;
using System.Text;
using Distributed.Worker.Serving.Hosting;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Who comes in, and how many at once.</summary>
public class AdmissionTests
{
    [Theory]
    [InlineData("Bearer first", "key1")]
    [InlineData("bearer second", "key2")]
    [InlineData("Bearer  second ", "key2")]
    [InlineData("Bearer firs", null)]
    [InlineData("Bearer firstt", null)]
    [InlineData("Bearer ", null)]
    [InlineData("first", null)]
    [InlineData("Digest first", null)]
    [InlineData("Basic !", null)]
    [InlineData(null, null)]
    public void ClientOf_Header_IsTheKeysName(string? header, string? client)
        => Assert.Equal(client, ApiKeys.Of(["first", "second"]).ClientOf(header));

    [Fact]
    public void ClientOf_PasswordOfABrowser_IsTheKey()
    {
        var keys = ApiKeys.Of(["a:b"]);
        Assert.Equal("key1", keys.ClientOf(Basic("anybody:a:b")));
        Assert.Null(keys.ClientOf(Basic("a:b")));
        Assert.Null(keys.ClientOf(Basic("nothing")));
    }

    [Fact]
    public void ClientOf_TwoHeaders_IsNobody() => Assert.Null(ApiKeys.Of(["a"]).ClientOf(new(["Bearer a", "Bearer a"])));

    [Fact]
    public void ClientOf_NoKeys_IsAnybody() => Assert.Equal("", ApiKeys.Of([]).ClientOf("Bearer x"));

    [Theory]
    [InlineData("127.0.0.1", "", "localhost:8080", true)]
    [InlineData("127.0.0.1", "", "127.0.0.1", true)]
    [InlineData("127.0.0.1", "", "[::1]:80", true)]
    [InlineData("127.0.0.1", "", "evil.example", false)] // DNS rebinding
    [InlineData("127.0.0.1", "", "192.168.0.7", false)]
    [InlineData("127.0.0.1", "", "127.0.0.1.evil.example", false)]
    [InlineData("127.0.0.1", "", "", false)]
    [InlineData("127.0.0.1", "llm.example", "LLM.example:8080", true)]
    [InlineData("0.0.0.0", "", "anything.example", true)]
    [InlineData("0.0.0.0", "llm.example", "other.example", false)]
    [InlineData("0.0.0.0", "llm.example", "10.0.0.5:8080", true)]
    public void Contains_Host_IsAnswered(string address, string names, string host, bool expected)
        => Assert.Equal(
            expected,
            new AllowedHosts(IPAddress.Parse(address), names.Split(',', StringSplitOptions.RemoveEmptyEntries)).Contains(new HostString(host)));

    [Fact]
    public void TryEnter_MoreThanTheShare_IsRefusedUntilOneLeaves()
    {
        var quota = new KeyQuota(2);
        var first = quota.TryEnter("a");
        using var second = quota.TryEnter("a");
        Assert.Null(quota.TryEnter("a"));
        using (var other = quota.TryEnter("b"))
        {
            Assert.NotNull(other);
        }

        first!.Dispose();
        first.Dispose(); // counts once
        using var third = quota.TryEnter("a");
        Assert.NotNull(third);
        Assert.Null(quota.TryEnter("a"));
    }

    private static string Basic(string credentials) => $"Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials))}";
}
