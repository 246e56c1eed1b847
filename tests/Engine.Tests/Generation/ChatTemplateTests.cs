using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Tests.Tokenizers;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Generation;

/// <summary>The template beside the tokenizer chooses the format where it is known, and is named where it is not.</summary>
public sealed class ChatTemplateTests : IDisposable
{
    // As Llama 3's and OpenHermes' tokenizer_config.json have them.
    private const string Llama3 =
        "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ "
        + "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

    private const string ChatML =
        @"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        + @"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    private readonly TemporaryFolder _folder = new();
    private readonly Tokenizer _tokenizer = SentencePieceTokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(Llama3, "Llama-3")]
    [InlineData(ChatML, "ChatML")]
    public void Of_KnownTemplate_ChoosesItsFormat(string text, string name)
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var template = Write(JsonValue.Create(text))!;
        var both = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel([], "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>"));

        var format = ChatFormat.Of(checkpoint, both, template);

        Assert.True(template.IsKnown);
        Assert.Equal(name, format.Name);
        Assert.Null(template.Remark(format));
    }

    [Fact]
    public void Of_KnownTemplateWithoutItsMarks_IsSaid()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var template = Write(ChatML)!;

        var format = ChatFormat.Of(checkpoint, _tokenizer, template);

        Assert.Equal("Llama-2", format.Name);
        Assert.Contains("has a chat template whose marks the tokenizer lacks", template.Warning(format), StringComparison.Ordinal);
    }

    /// <summary>Changed by one character it is another one: named, and not run.</summary>
    [Theory]
    [InlineData("{{ '[INST] <<SYS>>' }}", false)]
    [InlineData("{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}", true)]
    [InlineData(Llama3 + " ", true)]
    public void Remark_UnknownTemplate_IsNamed(string text, bool isWarning)
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var template = Write(JsonValue.Create(text))!;
        var format = ChatFormat.Of(checkpoint, _tokenizer, template);

        var remark = template.Remark(format)!.Value;

        Assert.Equal("Llama-2", format.Name); // as without a template
        Assert.Equal(isWarning, remark.IsWarning);
        Assert.Contains("tokenizer_config.json has a chat template that is not known (SHA-256 ", remark.Message, StringComparison.Ordinal);
        Assert.Equal(isWarning, template.Warning(format) is not null);
    }

    [Fact]
    public void Find_SeveralByName_TakesTheDefault()
    {
        var list = new JsonArray(
            new JsonObject { ["name"] = "tool_use", ["template"] = "x" }, new JsonObject { ["name"] = "default", ["template"] = Llama3 });

        Assert.True(Write(list)!.IsKnown);
    }

    [Fact]
    public void Find_FileOfItsOwn_ComesFirst()
    {
        Write("x");
        File.WriteAllText(_folder["chat_template.jinja"], ChatML);

        var template = ChatTemplate.Find(_folder["tokenizer.model"])!;

        Assert.True(template.IsKnown);
        Assert.EndsWith("chat_template.jinja", template.Path, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("no JSON")]
    [InlineData("[]")]
    [InlineData("{\"chat_template\": 3}")]
    [InlineData("{\"chat_template\": [{\"name\": 1, \"template\": \"x\"}, 2]}")]
    public void Find_NoTemplate_IsNone(string config)
    {
        File.WriteAllText(_folder["tokenizer_config.json"], config);

        Assert.Null(ChatTemplate.Find(_folder["tokenizer.model"]));
    }

    private ChatTemplate? Write(JsonNode? template)
    {
        File.WriteAllText(_folder["tokenizer_config.json"], new JsonObject { ["chat_template"] = template }.ToJsonString());
        return ChatTemplate.Find(_folder["tokenizer.model"]);
    }
}
