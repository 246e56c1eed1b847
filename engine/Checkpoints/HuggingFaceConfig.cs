using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// config.json of a Hugging Face folder: the keys of transformers' LlamaConfig, MistralConfig, Qwen2Config and Qwen3Config. A key that is
/// unknown and might change a number is refused by name.
/// </summary>
internal sealed record HuggingFaceConfig
{
    private const int MaxByteCount = 1 << 20;

    // Sizes of memory, notes about the file, and what matters only while training.
    private static readonly string[] Ignored =
    [
        "_name_or_path", "_attn_implementation", "_commit_hash", "attn_implementation", "attention_dropout", "bos_token_id", "pad_token_id",
        "unk_token_id", "decoder_start_token_id", "dtype", "id2label", "initializer_range", "is_llama_config", "label2id", "model_type", "num_labels",
        "output_attentions", "output_hidden_states", "return_dict", "torch_dtype", "torchscript", "transformers_version",
        "transformers.js_config", "unsloth_fixed", "unsloth_version", "use_cache", "use_return_dict",
    ];

    public required LlamaConfig Config { get; init; }

    public required ModelFamily Family { get; init; }

    /// <summary>Whether output.weight is the embedding where the files lack it.</summary>
    public required bool TiesEmbeddings { get; init; }

    /// <summary>The tokens that end a text; empty where the file leaves it to the tokenizer.</summary>
    public required ImmutableArray<int> EosTokenIds { get; init; }

    /// <summary>What the matrices are quantised to; <see langword="null"/> for nothing.</summary>
    public required TensorType? Quantization { get; init; }

    /// <exception cref="CheckpointException">The file is missing or no JSON object, or a value is missing, unknown or out of range.</exception>
    public static HuggingFaceConfig Read(string path)
    {
        using var document = CheckpointJson.Parse(path, MaxByteCount, "model.safetensors");
        return Parse(new JsonNumbers(document.RootElement, path));
    }

    /// <summary>Reads the text of a config.json; <paramref name="path"/> names it in errors.</summary>
    internal static HuggingFaceConfig Parse(ReadOnlyMemory<byte> json, string path)
    {
        using var document = CheckpointJson.Parse(json, path);
        return Parse(new JsonNumbers(document.RootElement, path));
    }

    /// <inheritdoc cref="Read"/>
    internal static HuggingFaceConfig Parse(JsonNumbers json)
    {
        var architecture = json.Texts("architectures") is [var only] ? only : throw json.Missing("architectures with one entry");
        var family = architecture switch
        {
            "LlamaForCausalLM" => ModelFamily.Llama,
            "MistralForCausalLM" => ModelFamily.Mistral,
            "Qwen2ForCausalLM" => ModelFamily.Qwen2,
            "Qwen3ForCausalLM" => ModelFamily.Qwen3,
            _ => throw json.Error($"is of the architecture {Printable.Of(architecture)}; LlamaForCausalLM, MistralForCausalLM, "
                + "Qwen2ForCausalLM and Qwen3ForCausalLM can be run"),
        };
        var dimension = json.Integer("hidden_size", 1, 1 << 17) ?? throw json.Missing("hidden_size");
        var heads = json.Integer("num_attention_heads", 1, 1 << 14) ?? throw json.Missing("num_attention_heads");
        var keyValueHeads = json.Integer("num_key_value_heads", 1, heads)
            ?? (family == ModelFamily.Llama ? heads : throw json.Missing("num_key_value_heads"));
        var headDimension = json.Integer("head_dim", 2, 1 << 12) ?? (family == ModelFamily.Qwen3 ? 128 : null);
        var maxPositions = json.Integer("max_position_embeddings", 1, 1 << 28);
        var config = new LlamaConfig
        {
            Dimension = dimension,
            LayerCount = json.Integer("num_hidden_layers", 1, 4096) ?? throw json.Missing("num_hidden_layers"),
            HeadCount = heads,
            KeyValueHeadCount = keyValueHeads,
            HiddenDimension = json.Integer("intermediate_size", 1, 1 << 22) ?? throw json.Missing("intermediate_size"),
            VocabularySize = json.Integer("vocab_size", 1, LlamaParameters.MaxVocabularySize) ?? throw json.Missing("vocab_size"),
            NormEpsilon = (float)(json.Number("rms_norm_eps", 1e-12, 1) ?? throw json.Missing("rms_norm_eps")),
            HeadDimension = headDimension ?? dimension / heads,
            RotatesHalves = true,
            HasQueryKeyValueBias = family == ModelFamily.Qwen2,
            HasQueryKeyNorm = family == ModelFamily.Qwen3,
        };
        if ((headDimension is null && dimension % heads != 0) || config.HeadDimension % 2 != 0)
        {
            throw json.Error($"has {heads} heads of {config.HeadDimension} elements; a head must be a whole, even number of elements wide");
        }

        if (heads % keyValueHeads != 0)
        {
            throw json.Error($"has num_attention_heads {heads} and num_key_value_heads {keyValueHeads}; the second must divide the first");
        }

        config = HuggingFaceRope.Read(json, config, maxPositions);
        config = ReadWindow(json, config, family);
        RequireDefaults(json);
        var eos = json.Integers("eos_token_id", 0, LlamaParameters.MaxVocabularySize);
        var quantization = QuantizationConfig.Read(json);
        var ties = json.Boolean("tie_word_embeddings") ?? false;
        Array.ForEach(Ignored, json.Ignore);
        json.RequireNoOthers();
        return new HuggingFaceConfig { Config = config, Family = family, TiesEmbeddings = ties, EosTokenIds = eos, Quantization = quantization };
    }

    private static LlamaConfig ReadWindow(JsonNumbers json, LlamaConfig config, ModelFamily family)
    {
        var isMistral = family == ModelFamily.Mistral;
        var window = json.Integer("sliding_window", 1, 1 << 28) ?? 0;
        var isUsed = json.Boolean("use_sliding_window") ?? isMistral;
        var firstLayer = json.Integer("max_window_layers", 0, 4096) ?? (isMistral ? 0 : 28); // transformers' default
        if (json.Texts("layer_types") is { } types)
        {
            firstLayer = types.TakeWhile(type => type == "full_attention").Count();
            if (types.Count != config.LayerCount || types.Skip(firstLayer).Any(type => type != "sliding_attention"))
            {
                throw json.Error("has layer_types other than full_attention followed by sliding_attention, one a layer");
            }

            isUsed |= firstLayer < types.Count;
        }

        return isUsed && window > 0 ? config with { SlidingWindow = window, FirstSlidingLayer = firstLayer } : config;
    }

    /// <summary>Keys that would change the arithmetic if they had another value than every supported model has.</summary>
    private static void RequireDefaults(JsonNumbers json)
    {
        if (json.Text("hidden_act") is { } activation && activation != "silu")
        {
            throw json.Error($"has hidden_act {Printable.Of(activation)}; only silu can be run");
        }

        foreach (var key in new[] { "attention_bias", "mlp_bias", "rope_interleaved", "use_mrope", "is_encoder_decoder", "add_cross_attention" })
        {
            if (json.Boolean(key) == true)
            {
                throw json.Error($"has {key} true, which cannot be run");
            }
        }

        // How a matrix product was cut while pre-training; transformers has dropped it, and 1 is no cut.
        _ = json.Integer("pretraining_tp", 1, 1024);
        if (json.Number("partial_rotary_factor", 0, 1) is { } part && part != 1)
        {
            throw json.Error($"has partial_rotary_factor {part}; only whole heads can be turned");
        }
    }
}
