using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Engine.Generation;
using Distributed.Engine.Tests.Tokenizers;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Generation;

/// <summary>
/// Dialogs as the public templates of Llama 3 to 3.3, Mistral v1 to v7, Qwen 1.5 to 3, SmolLM2, DeepSeek-R1's distillates and Zephyr write them (References/make_chats.py, run by Jinja):
/// the tokens of each format are those of the text that the template printed, its marks as tokens where the tokenizer has them.
/// </summary>
public sealed partial class ChatReferenceTests
{
    // What the tokenizers of these families have as tokens; <think> is one that any text may hold.
    private static readonly string[] Marks =
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"];

    private static readonly Tokenizer Plain = Make([.. Marks]);
    private static readonly Tokenizer WithInstructions = Make([.. Marks, "[INST]", "[/INST]"]);
    private static readonly Tokenizer WithSystemMessages = Make([.. Marks, "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]);
    private static readonly Tokenizer WithDeepSeeksMarks = Make([.. Marks, "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"]);
    private static readonly Tokenizer OldMistral = Make(["<s>", "</s>"]);

    [Fact]
    public void Encode_EveryCase_IsWhatTheTemplatePrints()
    {
        using var kit = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "chats.json")));
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var item in kit.RootElement.EnumerateArray())
        {
            var name = item.GetProperty("name").GetString()!;
            var tokenizer = name.Contains("DeepSeek", StringComparison.Ordinal) ? WithDeepSeeksMarks
                : !name.Contains("Mistral", StringComparison.Ordinal) ? Plain : name.Contains("7B", StringComparison.Ordinal) ? OldMistral
                : name.Contains("2411", StringComparison.Ordinal) || name.Contains("2501", StringComparison.Ordinal) ? WithSystemMessages
                : WithInstructions;
            var dialog = item.GetProperty("messages").EnumerateArray()
                .Select(message => new ChatMessage(message.GetProperty("role").GetString()!, message.GetProperty("content").GetString()!)).ToArray();
            var format = ChatTemplate.FormatOf(item.GetProperty("sha256").GetString()!, tokenizer, item.GetProperty("thinking").GetBoolean(), new SomeDay());

            Assert.True(format is not null, name);
            Assert.Equal(Text(item, tokenizer), Show(format.Encode(dialog, tokenizer), tokenizer, item));
            names.Add(name);
        }

        Assert.Equal(20, names.Count);
    }

    // A space that the template writes behind a token is the one that such a tokenizer puts in front of a text. Behind [/INST] it is one, too, where that is text:
    // there the answer begins a text of its own.
    private static string Text(JsonElement item, Tokenizer tokenizer)
    {
        var rendered = item.GetProperty("rendered").GetString()!;
        return !item.GetProperty("prefix").GetBoolean() ? rendered
            : (tokenizer != OldMistral && tokenizer != Plain ? SpaceBehindMark() : SpaceBehindEnd()).Replace(rendered, "$1");
    }

    private static string Show(int[] tokens, Tokenizer tokenizer, JsonElement item) => string.Concat(Pieces(tokens, tokenizer, item));

    // BOS and EOS of these tokenizers are one family's; the case says what its own are called.
    private static IEnumerable<string> Pieces(int[] tokens, Tokenizer tokenizer, JsonElement item)
    {
        var text = new List<int>();
        foreach (var id in tokens)
        {
            var mark = id == tokenizer.BosId ? item.GetProperty("bos").GetString()
                : id == tokenizer.EosId ? item.GetProperty("eos").GetString()
                : tokenizer.SpecialId(tokenizer.Piece(id)) == id ? tokenizer.Piece(id)
                : null;
            if (mark is null)
            {
                text.Add(id);
                continue;
            }

            yield return tokenizer.Decode([.. text]);
            yield return mark;
            text.Clear();
        }

        yield return tokenizer.Decode([.. text]);
    }

    private static Tokenizer Make(string[] special)
    {
        var json = TokenizerJsonBuilder.ByteLevel([("H", "i")], special);
        json["post_processor"] = System.Text.Json.Nodes.JsonNode.Parse(
            $$"""{"type": "TemplateProcessing", "single": [ { "SpecialToken": {"id": "{{special[0]}}"} } ]}""");
        return TokenizerJsonBuilder.Load(json);
    }

    [GeneratedRegex(@"(^|<s>|</s>|\[INST\]|\[/INST\]|\[SYSTEM_PROMPT\]) ")]
    private static partial Regex SpaceBehindMark();

    [GeneratedRegex(@"(^|<s>|</s>|\[/INST\]) ")]
    private static partial Regex SpaceBehindEnd();

    private sealed class SomeDay : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2025, 3, 5, 23, 0, 0, TimeSpan.Zero);
    }
}
