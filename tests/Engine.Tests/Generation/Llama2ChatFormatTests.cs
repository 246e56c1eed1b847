using System.Text.Json;
using Distributed.Engine.Generation;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Generation;

/// <summary>inference.md lines 45 to 53: the reference's chat_completion. Each test names its lines.</summary>
public sealed class Llama2ChatFormatTests
{
    private static readonly SentencePieceTokenizer Tokenizer = SentencePieceTokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));

    [SharedDataFact("llama2-tokenizer/chat.json")]
    public void Encode_EveryReferenceDialog_IsItsPrompt()
    {
        var tokenizer = SentencePieceTokenizer.Load(Path.Combine(Repository.SharedData, "llama2-tokenizer", "tokenizer.model"));
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.SharedData, "llama2-tokenizer", "chat.json")));
        Assert.NotEqual(0, document.RootElement.GetArrayLength());
        foreach (var item in document.RootElement.EnumerateArray())
        {
            var dialog = item.GetProperty("dialog").EnumerateArray()
                .Select(message => new ChatMessage(message.GetProperty("role").GetString()!, message.GetProperty("content").GetString()!))
                .ToArray();

            var prompt = new Llama2ChatFormat().Encode(dialog, tokenizer);
            Assert.Equal(item.GetProperty("prompt_tokens").Deserialize<int[]>(), prompt);

            // The reference's result, where its model was made to say this.
            var generation = item.GetProperty("result").GetProperty("generation");
            var content = generation.GetProperty("content").GetString()!;
            Assert.Equal(ChatMessage.Assistant, generation.GetProperty("role").GetString());
            Assert.Equal(content, Answer(prompt, [.. tokenizer.Encode(content, bos: false, eos: true)], tokenizer).Text);
        }
    }

    [Fact]
    public void Encode_SystemMessage_IsFoldedIntoTheFirstUserMessageAndStrippedAsAWhole()
    {
        // Lines 45 and 46: the system text keeps its inner and outer spaces but for those at the ends of the merged text.
        Expect(
            [new("system", " Be brief \n"), new("user", " Hi \n")],
            Turn("[INST] <<SYS>>\n Be brief \n\n<</SYS>>\n\n Hi [/INST]"));
    }

    [Fact]
    public void Encode_AnsweredTurns_AreClosedByEosAndEachBeginsWithBos()
    {
        // Line 49, with the trailing space before EOS.
        Expect(
            [new("user", "a"), new("assistant", " b\n"), new("user", "c"), new("assistant", "d"), new("user", "e ")],
            [
                .. Tokenizer.Encode("[INST] a [/INST] b ", bos: true, eos: true),
                .. Tokenizer.Encode("[INST] c [/INST] d ", bos: true, eos: true),
                .. Turn("[INST] e [/INST]"),
            ]);
    }

    [Theory]
    [InlineData("\u001C\u001Fx\u0085\u3000", "x")]
    [InlineData("\u200Bx\uFEFF", "\u200Bx\uFEFF")]
    public void Encode_Content_IsStrippedAsPythonDoes(string content, string stripped)
        => Expect([new("user", content)], Turn($"[INST] {stripped} [/INST]"));

    [Fact]
    public void Encode_NoSystemMessage_AddsNone()
    {
        // Line 52: no default system prompt.
        Expect([new("user", "Hi")], Turn("[INST] Hi [/INST]"));
    }

    [Theory]
    [InlineData("assistant")]
    [InlineData("user", "user")]
    [InlineData("user", "assistant", "assistant")]
    [InlineData("user", "system")]
    [InlineData("system", "system", "user")]
    [InlineData("system", "assistant")]
    [InlineData("User")]
    public void Encode_RolesThatDoNotAlternate_IsTheReferencesSentence(params string[] roles)
    {
        // Line 47.
        var exception = Assert.Throws<GenerationException>(() => new Llama2ChatFormat().Encode(Dialog(roles), Tokenizer));

        Assert.StartsWith(
            "model only supports 'system', 'user' and 'assistant' roles, starting with 'system', then 'user' and alternating (u/a/u/a/u...)",
            exception.Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("user", "assistant")]
    [InlineData("system", "user", "assistant")]
    public void Encode_LastNotFromUser_IsTheReferencesSentence(params string[] roles)
    {
        // Line 48.
        var exception = Assert.Throws<GenerationException>(() => new Llama2ChatFormat().Encode(Dialog(roles), Tokenizer));

        Assert.Equal("Last message must be from user, got assistant.", exception.Message);
    }

    [Theory]
    [InlineData()]
    [InlineData("system")]
    public void Encode_NothingFromUser_IsOneSentence(params string[] roles)
    {
        // Line 50: an IndexError in the reference.
        var exception = Assert.Throws<GenerationException>(() => new Llama2ChatFormat().Encode(Dialog(roles), Tokenizer));

        Assert.Contains("user", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[INST]", true)]
    [InlineData("a[/INST]b", true)]
    [InlineData("<<SYS>>", true)]
    [InlineData("x <</SYS>>", true)]
    [InlineData("<s></s> [inst] << SYS >>", false)]
    public void HasSpecialTags_TagInAnyMessage_IsTrue(string content, bool expected)
    {
        // Line 51: <s> and </s> are no tags, they are plain text to the tokenizer.
        foreach (var place in Enumerable.Range(0, 4))
        {
            var dialog = Dialog(["system", "user", "assistant", "user"]);
            dialog[place] = dialog[place] with { Content = content };

            Assert.Equal(expected, new Llama2ChatFormat().HasSpecialTags(dialog));
        }
    }

    private static GenerationResult Answer(int[] prompt, int[] tokens, SentencePieceTokenizer tokenizer)
    {
        var row = new GenerationRow(0, prompt, maxSequenceLength: 512, new GenerationOptions(), [tokenizer.EosId], tokenizer, onUpdate: null);
        foreach (var token in tokens)
        {
            row.Append(token, logit: 0, default);
        }

        Assert.True(row.IsFinished);
        return row.ToResult();
    }

    private static ChatMessage[] Dialog(string[] roles) => [.. roles.Select(role => new ChatMessage(role, "text"))];

    private static int[] Turn(string text) => Tokenizer.Encode(text, bos: true, eos: false);

    private static void Expect(ChatMessage[] dialog, int[] tokens) => Assert.Equal(tokens, new Llama2ChatFormat().Encode(dialog, Tokenizer));
}
