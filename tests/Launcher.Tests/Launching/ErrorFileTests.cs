using System.Text;
using Distributed.Collectives;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Tests.Launching;

public sealed class ErrorFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Write_Exception_ReadsBackInTorchrunsNestedForm()
    {
        var path = _folder["error.json"];
        Assert.True(ErrorFile.Write(path, Thrown(new InvalidOperationException("the sum is odd"))));

        using var json = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(path));
        var message = json.RootElement.GetProperty("message");
        Assert.Equal("InvalidOperationException: the sum is odd", message.GetProperty("message").GetString());
        var extra = message.GetProperty("extraInfo");
        Assert.Contains(nameof(Thrown), extra.GetProperty("py_callstack").GetString(), StringComparison.Ordinal);
        var seconds = long.Parse(extra.GetProperty("timestamp").GetString()!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - seconds, 0, 60);
        Assert.False(extra.TryGetProperty("victim_of_rank", out _));

        var record = ErrorFile.TryRead(path, out var problem);
        Assert.Null(problem);
        Assert.Equal("InvalidOperationException: the sum is odd", record!.Message);
        Assert.Equal(seconds, record.Time!.Value.ToUnixTimeSeconds());
        Assert.Null(record.VictimOfRank);
        Assert.Equal(["error.json"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName));
    }

    public static TheoryData<Exception, int?> Victims => new()
    {
        { new PeerLostException("rank 3 closed its connection", 3), 3 },
        { new CollectiveTimeoutException("no answer", 5), 5 },
        { new InvalidOperationException("a step failed", new PeerLostException("rank 2 is gone", 2)), 2 },
        { new GroupAbortedException("the user asked for it", null), null },
        { new IOException("disk full"), null },
    };

    [Theory]
    [MemberData(nameof(Victims))]
    public void Write_CollectiveFailure_NamesTheRankThatIsToBlame(Exception exception, int? blamed)
    {
        ErrorFile.Write(_folder["error.json"], exception);
        Assert.Equal(blamed, ErrorFile.TryRead(_folder["error.json"], out _)!.VictimOfRank);
    }

    [Theory]
    [InlineData("é")]
    [InlineData("\u0001")]
    [InlineData("😀")]
    public void Write_EndlessMessage_StaysBelowTheLimitAndReadable(string unit)
    {
        var path = _folder["error.json"];
        Assert.True(ErrorFile.Write(path, new IOException(string.Concat(Enumerable.Repeat(unit, 100_000)))));

        Assert.InRange(new FileInfo(path).Length, 1, ErrorFile.MaxByteCount);
        Assert.StartsWith($"IOException: {unit}{unit}", ErrorFile.TryRead(path, out _)!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_NowhereOrImpossiblePath_SaysFalseAndDoesNotThrow()
    {
        Assert.False(ErrorFile.Write(null, new IOException()));
        Assert.False(ErrorFile.Write(_folder["no/such/folder/error.json"], new IOException()));
    }

    [Theory]
    [InlineData("""{"message":"m","timestamp":10}""", "m", 10)]
    [InlineData("""{"message":"m","timestamp":"10"}""", "m", 10)]
    [InlineData("""{"message":"m"}""", "m", null)]
    [InlineData("""{"message":"m","timestamp":-1e300}""", "m", null)]
    [InlineData("""{"message":{"message":"ValueError: x","extraInfo":{"timestamp":10}},"errorCode":1}""", "ValueError: x", 10)]
    [InlineData("""{"message":{"message":"ValueError: x"}}""", "ValueError: x", null)]
    public void TryRead_FormsInUse_AreUnderstood(string content, string message, int? seconds)
    {
        File.WriteAllText(_folder["error.json"], content);
        var record = ErrorFile.TryRead(_folder["error.json"], out var problem);
        Assert.Null(problem);
        Assert.Equal(message, record!.Message);
        Assert.Equal(seconds, (int?)record.Time?.ToUnixTimeSeconds());
    }

    [Theory]
    [InlineData("half a {")]
    [InlineData("[1]")]
    [InlineData("""{"error":"m"}""")]
    [InlineData("""{"message":7}""")]
    [InlineData("""{"message":"\ud800"}""")]
    public void TryRead_ForeignContent_SaysWhatIsWrong(string content)
    {
        File.WriteAllText(_folder["error.json"], content);
        Assert.Null(ErrorFile.TryRead(_folder["error.json"], out var problem));
        Assert.NotNull(problem);
    }

    [Fact]
    public void TryRead_FileBeyondTheLimit_IsRefused()
    {
        File.WriteAllText(_folder["error.json"], $$"""{"message":"{{new string('x', ErrorFile.MaxByteCount)}}"}""", Encoding.ASCII);
        Assert.Null(ErrorFile.TryRead(_folder["error.json"], out var problem));
        Assert.Equal("it is longer than 64 KiB", problem);
    }

    [Fact]
    public void TryRead_NoFileOrADirectory_IsNoProblem()
    {
        Assert.Null(ErrorFile.TryRead(_folder["absent"], out var problem));
        Assert.Null(problem);
        Assert.Null(ErrorFile.TryRead(_folder.Path, out problem));
        Assert.Null(problem);
    }

    private static InvalidOperationException Thrown(InvalidOperationException exception)
    {
        try
        {
            throw exception;
        }
        catch (InvalidOperationException caught)
        {
            return caught;
        }
    }
}
