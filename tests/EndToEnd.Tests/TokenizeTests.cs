using System.Text.Json;

namespace Distributed.EndToEnd.Tests;

/// <summary><c>worker tokenize</c> through the launcher, against the reference SentencePiece.</summary>
public sealed class TokenizeTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [SharedDataTheory("llama2-tokenizer/encode.json")]
    [InlineData("stories260k")]
    [InlineData("llama2-tokenizer")]
    public async Task Tokenize_EveryReferenceCase_HoldsBothWays(string model)
    {
        var folder = Path.Combine(Repository.SharedData, model);
        using var document = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "encode.json")));
        var encode = document.RootElement.GetProperty("encode").EnumerateArray().ToArray();
        var decode = document.RootElement.GetProperty("decode").EnumerateArray().ToArray();
        var single = document.RootElement.GetProperty("decode_single_ids").Deserialize<string[]>()!;

        // The texts with BOS before them; then ids to text: of the texts, of the lists, and each id alone.
        var ids = encode.Concat(decode).Select(item => item.GetProperty("tokens").Deserialize<int[]>()!)
            .Concat(Enumerable.Range(0, single.Length).Select(id => new[] { id }))
            .ToArray();
        var texts = encode.Concat(decode).Select(item => item.GetProperty("decoded").GetString()!).Concat(single);
        var lines = encode.Select(item => JsonSerializer.Serialize(new { text = item.GetProperty("text").GetString() }))
            .Concat(ids.Select(tokens => JsonSerializer.Serialize(new { tokens })));
        var launch = await _distrun.RunWithInput(
            string.Join('\n', lines), "worker", "tokenize", "--tokenizer-path", Path.Combine(folder, "tokenizer.model"), "--bos");

        Assert.Equal((0, ""), (launch.ExitCode, launch.Error));
        var answers = launch.OutputLines.Select(line => JsonSerializer.Deserialize<Answer>(line, JsonSerializerOptions.Web)!).ToArray();
        Assert.Equal(encode.Length + ids.Length, answers.Length);
        foreach (var (item, answer) in encode.Zip(answers))
        {
            Assert.Equal(item.GetProperty("text").GetString(), answer.Text);
            Assert.Equal(item.GetProperty("tokens").Deserialize<int[]>(), answer.Tokens);
            Assert.Equal(item.GetProperty("pieces").Deserialize<string[]>(), answer.Pieces);
        }

        Assert.Equal(texts, answers[encode.Length..].Select(answer => answer.Text));
        Assert.Equal(ids, answers[encode.Length..].Select(answer => answer.Tokens));
    }

    private sealed record Answer(string Text, int[] Tokens, string[] Pieces);
}
