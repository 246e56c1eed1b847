using System.Text;
using System.Text.Json;
using Distributed.Worker.Options;
using Distributed.Worker.Running;

namespace Distributed.Worker.Tests.Running;

public sealed class TokenizeCommandTests
{
    private static readonly string DemoTokenizer = Path.Combine(Repository.DemoCheckpoint, "tokenizer.model");

    [SharedDataTheory("stories260k/encode.json")]
    [InlineData("stories260k")]
    [InlineData("llama2-tokenizer")]
    public void Run_EveryReferenceCase_HoldsBothWays(string model)
    {
        var folder = Path.Combine(Repository.SharedData, model);
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "encode.json")));
        var encode = document.RootElement.GetProperty("encode").EnumerateArray().ToArray();
        var decode = document.RootElement.GetProperty("decode").EnumerateArray().ToArray();
        var single = document.RootElement.GetProperty("decode_single_ids").Deserialize<string[]>()!;
        var tokenizer = Path.Combine(folder, "tokenizer.model");

        // Text to tokens and pieces, as the reference's encode with BOS.
        var texts = encode.Select(item => item.GetProperty("text").GetString()!).ToArray();
        var encoded = Run(tokenizer, texts.Select(text => new { text }), "--bos");
        Assert.Equal(encode.Length, encoded.Length);
        foreach (var (item, line) in encode.Zip(encoded))
        {
            Assert.Equal(item.GetProperty("text").GetString(), line.Text);
            Assert.Equal(item.GetProperty("tokens").Deserialize<int[]>(), line.Tokens);
            Assert.Equal(item.GetProperty("pieces").Deserialize<string[]>(), line.Pieces);
        }

        // Tokens to text: the same, the lists of ids, and each id alone.
        var ids = encode.Concat(decode).Select(item => item.GetProperty("tokens").Deserialize<int[]>()!)
            .Concat(Enumerable.Range(0, single.Length).Select(id => new[] { id }));
        var expected = encode.Select(item => item.GetProperty("decoded").GetString()!)
            .Concat(decode.Select(item => item.GetProperty("decoded").GetString()!))
            .Concat(single);
        Assert.Equal(expected, Run(tokenizer, ids.Select(tokens => new { tokens })).Select(line => line.Text));
    }

    [Fact]
    public void Run_TextWithoutBos_HasNone()
    {
        var line = Assert.Single(Run(DemoTokenizer, [new { text = "Once upon a time" }]));

        Assert.Equal([365, 367, 260, 366], line.Tokens);
        Assert.Equal("▁Once", line.Pieces[0]);
    }

    [Theory]
    [InlineData("{\"text\": 7}")]
    [InlineData("{\"tokens\": [1024]}")]
    [InlineData("{\"tokens\": [-1]}")]
    [InlineData("{\"tokens\": [1.5]}")]
    [InlineData("{\"tokens\": 1}")]
    [InlineData("{\"words\": []}")]
    [InlineData("[]")]
    [InlineData("plain")]
    [InlineData("{\"text\": \"\\ud800\"}")]
    public void Run_LineThatIsNeither_AnswersThoseBeforeAndNamesIt(string bad)
    {
        using var output = new MemoryStream();
        var exception = Assert.Throws<BadInputException>(() => Command(DemoTokenizer).Run(Input("{\"tokens\": []}\n\n" + bad), output));

        Assert.Contains("standard input, line 3,", exception.Message, StringComparison.Ordinal);
        Assert.Equal("{\"text\":\"\",\"tokens\":[],\"pieces\":[]}\n", Encoding.UTF8.GetString(output.ToArray()));
    }

    [Fact]
    public void Create_NoTokenizer_SaysSo()
    {
        var missing = Assert.Throws<BadInputException>(() => TokenizeCommand.Create(CommandLine.Parse(["tokenize"])));
        var absent = Assert.Throws<BadInputException>(() => Command("nowhere.model"));

        Assert.StartsWith("--tokenizer-path is missing", missing.Message, StringComparison.Ordinal);
        Assert.Contains("nowhere.model", absent.Message, StringComparison.Ordinal);
    }

    private static TokenizeCommand Command(string tokenizer, params string[] options)
        => TokenizeCommand.Create(CommandLine.Parse(["tokenize", "--tokenizer_path", tokenizer, .. options]));

    private static Line[] Run(string tokenizer, IEnumerable<object> lines, params string[] options)
    {
        using var output = new MemoryStream();
        Command(tokenizer, options).Run(Input(string.Join('\n', lines.Select(line => JsonSerializer.Serialize(line)))), output);
        return [.. Encoding.UTF8.GetString(output.ToArray())
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonSerializer.Deserialize<Line>(line, JsonSerializerOptions.Web)!)];
    }

    private static MemoryStream Input(string text) => new(Encoding.UTF8.GetBytes(text));

    private sealed record Line(string Text, int[] Tokens, string[] Pieces);
}
