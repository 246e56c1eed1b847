using System.Text;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Tests.Prompts;

public sealed class PromptLinesTests
{
    [Theory]
    [InlineData("one\ntwo\n", "one", "two")]
    [InlineData("one\r\n\n  \ntwo", "one", "two")]
    [InlineData(" keeps its spaces \n", " keeps its spaces ")]
    [InlineData("{not json}\nprompt", "{not json}", "prompt")]
    [InlineData("{\"other\": 1}\n", "{\"other\": 1}")]
    [InlineData("{\"prompt\": \"a\\nb\"}\n{\"id\": 7, \"prompt\": \"\"}\n", "a\nb", "")]
    [InlineData("")]
    [InlineData("\n\n")]
    public void Parse_Text_IsAPromptALineOrJsonLines(string text, params string[] prompts)
    {
        var problems = new List<string>();

        Assert.Equal(prompts, PromptLines.Parse(text, "prompts.txt", problems));
        Assert.Empty(problems);
    }

    [Theory]
    [InlineData("prompts.txt", "{\"prompt\": \"a\"}\nplain\n", "line 2")]
    [InlineData("prompts.jsonl", "plain\n", "line 1")]
    [InlineData("prompts.jsonl", "{\"prompt\": 7}\n", "line 1")]
    [InlineData("prompts.jsonl", "{\"prompt\": \"\\ud800\"}\n", "line 1")]
    public void Parse_LineThatIsNoJsonPrompt_IsNamed(string name, string text, string place)
    {
        var problems = new List<string>();
        PromptLines.Parse(text, name, problems);

        Assert.Contains($"{name}, {place},", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void ReadToEnd_MoreThanTheLimit_IsRefusedBeforeItIsHeld()
    {
        var problems = new List<string>();
        using var endless = new EndlessStream();

        Assert.Null(UserText.ReadToEnd(endless, "standard input", problems));
        Assert.Contains("64 MiB", Assert.Single(problems), StringComparison.Ordinal);
        Assert.InRange(endless.Position, UserText.MaxByteCount, UserText.MaxByteCount + (1 << 20));
    }

    [Fact]
    public void ReadFile_Missing_IsOneSentence()
    {
        var problems = new List<string>();

        Assert.Null(UserText.ReadFile("nowhere.txt", "prompts-file", problems));
        Assert.StartsWith("--prompts-file nowhere.txt cannot be read", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void ReadToEnd_Utf8WithByteOrderMark_IsText()
        => Assert.Equal("é", UserText.ReadToEnd(new MemoryStream([0xEF, 0xBB, 0xBF, .. Encoding.UTF8.GetBytes("é")]), "f", []));

    private sealed class EndlessStream : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get; set; }

        public override int Read(byte[] buffer, int offset, int count)
        {
            Position += count;
            return count;
        }

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }

    [UnixTheory]
    [InlineData("/dev/null", "it is no regular file")]
    [InlineData("/", "it is a folder")]
    public void OpenFile_ThatIsNoFile_IsRefused(string path, string sentence)
        => Assert.StartsWith(sentence, Assert.Throws<IOException>(() => UserText.OpenFile(path)).Message, StringComparison.Ordinal);
}
