using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

public sealed class LogFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<string> _problems = [];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Write_WithoutALimit_KeepsAllAndIsSeenAtOnce()
    {
        using var file = Open(0);
        file.Write("one\n"u8);
        file.Write("two\n"u8);
        Assert.Equal("one\ntwo\n", Read("log"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1000)]
    public void Write_BeyondTheLimit_KeepsTheLastBytesInTwoFiles(int pieceByteCount)
    {
        var text = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 100).Select(i => (char)('a' + (i % 26)))));
        using (var file = Open(30))
        {
            foreach (var piece in text.Chunk(pieceByteCount))
            {
                file.Write(piece);
            }
        }

        Assert.Equal(Encoding.ASCII.GetString(text[60..90]), Read("log.1"));
        Assert.Equal(Encoding.ASCII.GetString(text[90..]), Read("log"));
        Assert.Equal(2, Directory.GetFiles(_folder.Path).Length);
    }

    [Fact]
    public void Open_WhereNothingCanBeMade_IsSaidOnceAndNotFatal()
    {
        using var file = new LogFile(_folder["absent/log"], 0, _problems.Add);
        file.Write("x"u8);
        file.Write("y"u8);
        Assert.EndsWith("the output goes on without it.", Assert.Single(_problems), StringComparison.Ordinal);
    }

    [LinuxFact]
    public void Write_DiskIsFull_IsSaidOnceAndNotFatal()
    {
        using var file = new LogFile("/dev/full", 0, _problems.Add);
        file.Write("x"u8);
        file.Write("y"u8);
        Assert.StartsWith("/dev/full cannot be written (No space left on device", Assert.Single(_problems), StringComparison.Ordinal);
    }

    private LogFile Open(long limit) => new(_folder["log"], limit, _problems.Add);

    private string Read(string name) => File.ReadAllText(_folder[name]);
}
