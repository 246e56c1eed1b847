using Distributed.Collectives.Hosting.Http2;

namespace Distributed.Collectives.Tests.Http2;

/// <summary>Header blocks: the examples of RFC 7541, what the writer writes, and what is none.</summary>
public sealed class HeaderFieldsTests
{
    private const int Limit = 8 << 10;

    /// <summary>RFC 7541, C.4: three requests of one connection, with Huffman's code and a table that grows.</summary>
    [Fact]
    public void Read_OfTheRequestsOfTheStandard_GivesTheirFields()
    {
        var reader = new HeaderReader(Limit);
        Assert.Equal(
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
            reader.Read(Convert.FromHexString("828684418cf1e3c2e5f23a6ba0ab90f4ff")));
        Assert.Equal(
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"), ("cache-control", "no-cache")],
            reader.Read(Convert.FromHexString("828684be5886a8eb10649cbf")));
        Assert.Equal(
            [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"), ("custom-key", "custom-value")],
            reader.Read(Convert.FromHexString("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")));
    }

    /// <summary>RFC 7541, C.6: three responses, with a table of 256 bytes that is full.</summary>
    [Fact]
    public void Read_OfTheResponsesOfTheStandard_GivesTheirFields()
    {
        var reader = new HeaderReader(Limit);
        (string, string)[] rest = [("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("location", "https://www.example.com")];
        Assert.Equal(
            [(":status", "302"), .. rest],
            reader.Read(Convert.FromHexString("3fe101" + "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"))); // the table's size, then C.6.1
        Assert.Equal([(":status", "307"), .. rest], reader.Read(Convert.FromHexString("4883640effc1c0bf")));
        Assert.Equal(
            [
                (":status", "200"), ("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:22 GMT"), ("location", "https://www.example.com"),
                ("content-encoding", "gzip"), ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
            ],
            reader.Read(Convert.FromHexString(
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007")));
    }

    [Fact]
    public void Write_OfAnyLength_IsReadAgain()
    {
        var writer = new HeaderWriter();
        (string, string)[] fields = [.. new[] { 0, 1, 126, 127, 128, 254, 255, 256, 3000 }.Select(length => ($"x-{length}", new string('ä', length)))];
        Array.ForEach(fields, field => writer.Add(field.Item1.ToUpperInvariant(), field.Item2));
        Assert.Equal(fields, new HeaderReader(Limit).Read(writer.Block.Span));
    }

    [Theory]
    [InlineData("80", "index 0")]
    [InlineData("be", "index 62")]
    [InlineData("ffffffffff7f", "21 bits")]
    [InlineData("00", "inside a")]
    [InlineData("0003616263", "inside a")]
    [InlineData("000361", "inside a string")]
    [InlineData("0081ff00", "Huffman")]                 // a byte of ones is too much
    [InlineData("0084ffffffff00", "Huffman")]           // the end of a string
    [InlineData("008100" + "00", "Huffman")]            // zeros after a symbol
    [InlineData("3fe11f", "table of 4096")]
    public void Read_OfWhatIsMalformed_SaysWhat(string block, string expected)
    {
        if (expected.StartsWith("table", StringComparison.Ordinal))
        {
            Assert.Empty(new HeaderReader(Limit).Read(Convert.FromHexString(block))); // 4096 is permitted
            (block, expected) = ("3fe21f", "table of 4097");
        }

        var error = Assert.Throws<HeaderException>(() => new HeaderReader(Limit).Read(Convert.FromHexString(block)));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_OfAFieldRepeatedByIndex_IsBoundedByTheListAndNotByTheBlock()
    {
        // A field of 4,000 bytes is remembered, and then meant by one byte each.
        var writer = new byte[4200];
        writer[0] = 0x40;
        writer[1] = 1;
        writer[2] = (byte)'x';
        (writer[3], writer[4], writer[5]) = (127, (4000 - 127) & 127 | 128, (4000 - 127) >> 7);
        writer.AsSpan(4006).Fill(0xBE);
        var error = Assert.Throws<HeaderException>(() => new HeaderReader(Limit).Read(writer));
        Assert.Contains("more than 8192 bytes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_OfRandomBytes_GivesFieldsOrSaysWhy()
    {
        var random = new Random(7);
        var read = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var block = new byte[random.Next(1, 200)];
            random.NextBytes(block);
            try
            {
                new HeaderReader(Limit).Read(block);
                read++;
            }
            catch (HeaderException)
            {
                // That is the other answer.
            }
        }

        Assert.InRange(read, 1, 19_999);
    }
}
