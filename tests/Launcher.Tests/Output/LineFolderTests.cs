using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

public sealed class LineFolderTests : IDisposable
{
    private readonly MemoryStream _out = new();
    private readonly LineFolder _folder;

    public LineFolderTests() => _folder = new LineFolder(
        new ConsoleOutput(_out, Stream.Null, sameTerminal: false), 4, ranks => Encoding.ASCII.GetBytes($"[{RankList.Format(ranks)}] "));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Lines_OfAllRanks_AreOneAtOnce()
    {
        Add("0:x 1:x 2:x 3:x");
        Assert.Equal("[0-3] x\n", Shown());
    }

    [Theory]
    [InlineData("0:x 2:x 1:y 3:x", "[0,2-3] x|[1] y")]
    [InlineData("0:x 0:x 1:x", "[0-1] x|[0] x")] // a line that a rank repeats is a line of its own
    [InlineData("0:x 0:y 1:y 1:x", "[0] x|[0-1] y|[1] x")] // no rank's lines change places
    [InlineData("0:a 0:b 1:a 1:b 2:b", "[0-1] a|[0-2] b")]
    public void Lines_OfSomeRanks_AreFoldedInTheOrderOfEach(string lines, string expected)
    {
        Add(lines);
        _folder.Flush();
        Assert.Equal(expected.Replace('|', '\n') + "\n", Shown());
    }

    [Fact]
    public async Task Line_OfOneRank_IsShownAfterAMoment()
    {
        Add("2:alone");
        Assert.Equal("", Shown());
        while (Shown().Length == 0)
        {
            await Task.Delay(10).DefaultTimeout();
        }

        Assert.Equal("[2] alone\n", Shown());
    }

    [Fact]
    public void Lines_ManyMoreThanWaitTogether_LoseNothing()
    {
        for (var i = 0; i < 10_000; i++)
        {
            Add($"{i % 4}:line{i}");
        }

        _folder.Flush();
        Assert.Equal(10_000, Shown().Count(character => character == '\n'));
    }

    [Theory]
    [InlineData(new[] { 3 }, "3")]
    [InlineData(new[] { 0, 1 }, "0-1")]
    [InlineData(new[] { 0, 2, 3, 4, 9, 11, 12 }, "0,2-4,9,11-12")]
    public void RankList_Format_JoinsNeighbours(int[] ranks, string expected) => Assert.Equal(expected, RankList.Format(ranks));

    private void Add(string lines)
    {
        foreach (var line in lines.Split(' '))
        {
            _folder.Add(ConsoleTarget.Out, line[0] - '0', Encoding.ASCII.GetBytes(line[2..]));
        }
    }

    private string Shown()
    {
        lock (_out)
        {
            return Encoding.ASCII.GetString(_out.ToArray());
        }
    }
}
