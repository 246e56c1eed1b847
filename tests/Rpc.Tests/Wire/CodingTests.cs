using System.Net;
using Grpc.Core;
using Grpc.Wire;

namespace Distributed.Rpc.Tests.Wire;

/// <summary>The small codings of the protocol: timeouts, messages, metadata, statuses.</summary>
public sealed class CodingTests
{
    [Theory]
    [InlineData(0, "0u")]
    [InlineData(-5, "0u")]
    [InlineData(1, "1u")] // ticks of 100 ns; rounded up
    [InlineData(10, "1u")]
    [InlineData(12_345_678_0, "12345678u")]
    [InlineData(1_000_000_000, "100000m")]
    [InlineData(1_000_000_001, "100001m")]
    [InlineData(TimeSpan.TicksPerDay * 10_000, "14400000M")]
    [InlineData(long.MaxValue, "99999999H")] // as long as it gets
    public void TimeoutEncode_Ticks_FinestUnitRoundedUp(long ticks, string expected)
        => Assert.Equal(expected, TimeoutCoding.Encode(new TimeSpan(ticks)));

    [Theory]
    [InlineData("1n", 1)]
    [InlineData("250n", 3)]
    [InlineData("99999999u", 999_999_990)]
    [InlineData("15m", 150_000)]
    [InlineData("2S", 20_000_000)]
    [InlineData("3M", 1_800_000_000)]
    [InlineData("99999999H", 3_599_999_964_000_000_000)]
    public void TimeoutDecode_WellFormed_Ticks(string text, long ticks)
    {
        Assert.True(TimeoutCoding.TryDecode(text, out var timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("m")]
    [InlineData("5")]
    [InlineData("5s")]
    [InlineData("-5m")]
    [InlineData("+5m")]
    [InlineData(" 5m")]
    [InlineData("1.5S")]
    [InlineData("100000000u")]
    [InlineData("٣m")]
    public void TimeoutDecode_Malformed_IsRefused(string text) => Assert.False(TimeoutCoding.TryDecode(text, out _));

    [Fact]
    public void Timeout_EveryLength_SurvivesWithinItsUnit()
    {
        for (var ticks = 1L; ticks < TimeSpan.TicksPerDay * 3000; ticks = ticks * 3 + 1)
        {
            Assert.True(TimeoutCoding.TryDecode(TimeoutCoding.Encode(new TimeSpan(ticks)), out var decoded));
            Assert.InRange(decoded.Ticks, ticks, ticks + Math.Max(ticks / 10_000, 10));
        }
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("plain ~text!", "plain ~text!")]
    [InlineData("100%", "100%25")]
    [InlineData("a\r\nb\t", "a%0D%0Ab%09")]
    [InlineData("é☺😈", "%C3%A9%E2%98%BA%F0%9F%98%88")]
    public void Percent_Text_IsEncodedAndDecoded(string text, string encoded)
    {
        Assert.Equal(encoded, PercentCoding.Encode(text));
        Assert.Equal(text, PercentCoding.Decode(encoded));
    }

    [Theory]
    [InlineData("%", "%")]
    [InlineData("%4", "%4")]
    [InlineData("%zz%41", "%zzA")]
    [InlineData("%e2%98%ba", "☺")]
    [InlineData("%FF", "\uFFFD")]
    public void PercentDecode_Malformed_KeepsWhatIsNoEscape(string encoded, string text) => Assert.Equal(text, PercentCoding.Decode(encoded));

    [Fact]
    public void PercentEncode_LongText_IsCutBetweenCharacters()
    {
        var encoded = PercentCoding.Encode(new string('x', 4000) + string.Concat(Enumerable.Repeat("☺", 1000)));

        Assert.InRange(encoded.Length, PercentCoding.MaxEncodedLength - 20, PercentCoding.MaxEncodedLength);
        Assert.Matches("^x{4000}☺+$", PercentCoding.Decode(encoded));
    }

    [Theory]
    [InlineData(new byte[0], "")]
    [InlineData(new byte[] { 0 }, "AA")]
    [InlineData(new byte[] { 255, 255 }, "//8")]
    [InlineData(new byte[] { 1, 2, 3 }, "AQID")]
    public void Metadata_Bytes_AreBase64WithoutPadding(byte[] bytes, string encoded)
    {
        Assert.Equal(encoded, MetadataCoding.Encode(new Metadata.Entry("k-bin", bytes)));
        foreach (var text in (string[])[encoded, encoded.PadRight((encoded.Length + 3) / 4 * 4, '=')])
        {
            var decoded = new Metadata();
            MetadataCoding.Decode(decoded, "K-Bin", text);
            Assert.Equal(bytes, decoded.GetValueBytes("k-bin")!);
        }
    }

    [Fact]
    public void Metadata_BinaryValuesJoinedByCommas_AreSeveralEntries()
    {
        var decoded = new Metadata();

        MetadataCoding.Decode(decoded, "k-bin", "AQ==, AgM,BA");
        MetadataCoding.Decode(decoded, "text", "a, b");

        Assert.Equal<byte[]>([[1], [2, 3], [4]], decoded.GetAll("k-bin").Select(entry => entry.ValueBytes));
        Assert.Equal("a, b", decoded.GetValue("text"));
    }

    [Theory]
    [InlineData("grpc-status")]
    [InlineData("Content-Type")]
    [InlineData(":path")]
    [InlineData("x!y")]
    public void Metadata_HeadersThatAreNone_AreLeftOut(string name)
    {
        var decoded = new Metadata();

        MetadataCoding.Decode(decoded, name, "value");

        Assert.Empty(decoded);
    }

    [Theory]
    [InlineData("k", "line\nbreak")]
    [InlineData("k", "naïve")]
    [InlineData("te", "trailers")]
    [InlineData("grpc-status", "0")]
    [InlineData("grpc-timeout", "1S")]
    public void Metadata_WhatCannotBeAHeader_IsRefused(string key, string value)
    {
        var failure = Assert.Throws<RpcException>(() => MetadataCoding.Encode(new Metadata.Entry(key, value)));

        Assert.Equal(StatusCode.Internal, failure.StatusCode);
        Assert.Contains($"'{key}'", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("not base64!")]
    [InlineData("A")]
    public void Metadata_MalformedBase64_IsRefused(string value)
        => Assert.Equal(StatusCode.Internal, Assert.Throws<RpcException>(() => MetadataCoding.Decode([], "k-bin", value)).StatusCode);

    [Theory]
    [InlineData(400, StatusCode.Internal)]
    [InlineData(401, StatusCode.Unauthenticated)]
    [InlineData(403, StatusCode.PermissionDenied)]
    [InlineData(404, StatusCode.Unimplemented)]
    [InlineData(429, StatusCode.Unavailable)]
    [InlineData(502, StatusCode.Unavailable)]
    [InlineData(503, StatusCode.Unavailable)]
    [InlineData(504, StatusCode.Unavailable)]
    [InlineData(500, StatusCode.Unknown)]
    [InlineData(302, StatusCode.Unknown)]
    public void HttpStatus_WithoutGrpc_Maps(int http, StatusCode expected)
        => Assert.Equal(expected, StatusMapping.FromHttpStatus((HttpStatusCode)http));

    [Theory]
    [InlineData("application/grpc", true)]
    [InlineData("application/grpc+proto", true)]
    [InlineData("application/grpc; charset=x", true)]
    [InlineData("APPLICATION/GRPC", true)]
    [InlineData("application/grpc-web", false)]
    [InlineData("application/grpcx", false)]
    [InlineData("application/json", false)]
    [InlineData(null, false)]
    public void ContentType_OfRequests_IsToldApart(string? contentType, bool grpc) => Assert.Equal(grpc, GrpcProtocol.IsGrpc(contentType));
}
