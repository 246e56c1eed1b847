using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Tokenizers;

namespace Distributed.Fuzz;

/// <summary>tokenizer_config.json: whatever is said by it is text.</summary>
internal sealed class TokenizerConfigTarget : FuzzTarget
{
    private static readonly string[] Valid =
    [
        """{"add_bos_token": true, "eos_token": {"content": "</s>", "lstrip": false}, "chat_template": "{{ bos_token }}", "added_tokens_decoder": {"0": {"content": "<unk>"}}}""",
        """{"eos_token": "<|im_end|>", "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}], "model_max_length": 1e30}""",
    ];

    public override string Name => "tokenizer-config";

    public override string FileName => "tokenizer_config.json";

    public override byte[] Make(Random random) => JsonMutator.Mutate(random, JsonNode.Parse(Valid[random.Next(Valid.Length)])!);

    public override bool IsRefusal(Exception exception) => exception is TokenizerFormatException;

    public override void Read(byte[] input, string path)
    {
        try
        {
            var config = TokenizerConfig.Parse(input);
            foreach (var text in new[] { config.EosToken(), config.ChatTemplate() })
            {
                Require(text is null || Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)) == text, "text is whole characters");
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new TokenizerFormatException("It is no tokenizer_config.json.", exception); // whoever reads it says so, or does without
        }
    }
}
