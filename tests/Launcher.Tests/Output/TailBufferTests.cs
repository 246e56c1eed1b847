using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

public sealed class TailBufferTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(10_000)]
    public void Lines_ManyLines_AreTheLastTwenty(int pieceByteCount)
    {
        var text = string.Concat(Enumerable.Range(0, 100).Select(i => $"line {i}\n")) + "open";
        Assert.Equal([.. Enumerable.Range(81, 19).Select(i => $"line {i}"), "open"], Tail(text, pieceByteCount));
    }

    [Fact]
    public void Lines_LongLine_KeepsItsStart()
    {
        var line = Assert.Single(Tail(new string('a', 500) + new string('b', 100_000) + "\n", 300));
        Assert.Equal(new string('a', 500) + new string('b', 524), line);
    }

    [Fact]
    public void Lines_WhatATerminalWouldActOn_IsMadeVisible()
        => Assert.Equal(["?[31mred?[0m\tend"], Tail("\u001b[31mred\u001b[0m\tend\r\n", 100));

    [Fact]
    public void Lines_Nothing_AreNone() => Assert.Empty(new TailBuffer().Lines());

    private static IReadOnlyList<string> Tail(string text, int pieceByteCount)
    {
        var tail = new TailBuffer();
        foreach (var piece in Encoding.UTF8.GetBytes(text).Chunk(pieceByteCount))
        {
            tail.Append(piece);
        }

        return tail.Lines();
    }
}
