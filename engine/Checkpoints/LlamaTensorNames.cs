namespace Distributed.Engine.Checkpoints;

/// <summary>Hugging Face's tensor names (transformers, models/llama, mistral, qwen2 and qwen3), in which alone they appear here.</summary>
internal static class LlamaTensorNames
{
    private const string Layers = "layers.";
    private const string HuggingFaceLayers = "model.layers.";

    // Behind the layer's number.
    private static readonly (string Meta, string HuggingFace)[] OfLayer =
    [
        ("attention_norm.weight", "input_layernorm.weight"),
        ("attention.wq.weight", "self_attn.q_proj.weight"),
        ("attention.wk.weight", "self_attn.k_proj.weight"),
        ("attention.wv.weight", "self_attn.v_proj.weight"),
        ("attention.wo.weight", "self_attn.o_proj.weight"),
        ("attention.wq.bias", "self_attn.q_proj.bias"),
        ("attention.wk.bias", "self_attn.k_proj.bias"),
        ("attention.wv.bias", "self_attn.v_proj.bias"),
        ("attention.q_norm.weight", "self_attn.q_norm.weight"),
        ("attention.k_norm.weight", "self_attn.k_norm.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
        ("feed_forward.w1.weight", "mlp.gate_proj.weight"),
        ("feed_forward.w2.weight", "mlp.down_proj.weight"),
        ("feed_forward.w3.weight", "mlp.up_proj.weight"),
    ];

    /// <summary>Hugging Face's name of a tensor that has Meta's name <paramref name="name"/>.</summary>
    public static string ToHuggingFace(string name)
    {
        if (!name.StartsWith(Layers, StringComparison.Ordinal))
        {
            return name switch
            {
                LlamaTensors.Embedding => "model.embed_tokens.weight",
                "norm.weight" => "model.norm.weight",
                LlamaTensors.Output => "lm_head.weight",
                _ => throw new ArgumentOutOfRangeException(nameof(name), name, "No tensor of a Llama."),
            };
        }

        var number = name[Layers.Length..name.IndexOf('.', Layers.Length)];
        var rest = name[(Layers.Length + number.Length + 1)..];
        return $"{HuggingFaceLayers}{number}.{Array.Find(OfLayer, pair => pair.Meta == rest).HuggingFace}";
    }

    /// <summary>Frequencies that old files carry; they follow from the config and are computed anew.</summary>
    public static bool IsIgnored(string huggingFaceName)
        => huggingFaceName.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal);
}
