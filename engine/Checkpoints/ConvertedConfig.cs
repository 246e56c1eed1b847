using System.Globalization;
using System.Text.Json.Nodes;

namespace Distributed.Engine.Checkpoints;

/// <summary>A model's shape in the words of another layout's config.</summary>
internal static class ConvertedConfig
{
    /// <summary>params.json.</summary>
    /// <exception cref="CheckpointException">Meta's layout has no word for something of the model.</exception>
    public static JsonObject ToMeta(CheckpointSource source)
    {
        var config = source.Config;
        string?[] problems =
        [
            config.HasQueryKeyValueBias ? "biases of queries, keys and values" : null,
            config.HasQueryKeyNorm ? "norms of query and key heads" : null,
            config.SlidingWindow > 0 ? "a sliding window" : null,
            config.QueryDimension != config.Dimension ? "heads that together are not as wide as the model" : null,
            config.MaxSequenceLength is not null ? "dynamic rotary scaling" : null,
            config.RopeScalingFactor != 1 && config.RopeScaling == RopeScalingKind.Linear ? "linear rotary scaling" : null,
            config.RopeScalingFactor != 1 && (config.RopeLowFrequencyFactor, config.RopeHighFrequencyFactor, config.RopeOldContextLength) != (1, 4, 8192)
                ? "rotary scaling with other constants than Llama 3.1's"
                : null,
        ];
        if (Array.Find(problems, problem => problem is not null) is { } found)
        {
            throw new CheckpointException($"The model has {found}, which Meta's params.json cannot say; keep it in Hugging Face's layout.");
        }

        // The reference's rule gives a hidden dimension of two thirds of 4 dim, scaled and rounded up to a multiple: of itself, here.
        var rule = LlamaParameters.HiddenDimensionOf(config.Dimension, multiplier: null, multipleOf: 1);
        var json = new JsonObject
        {
            ["dim"] = config.Dimension,
            ["n_layers"] = config.LayerCount,
            ["n_heads"] = config.HeadCount,
            ["n_kv_heads"] = config.KeyValueHeadCount,
            ["vocab_size"] = config.VocabularySize,
            ["multiple_of"] = config.HiddenDimension,
            ["ffn_dim_multiplier"] = rule > config.HiddenDimension ? (double)config.HiddenDimension / rule : 1.0,
            ["norm_eps"] = Shortest(config.NormEpsilon),
            ["rope_theta"] = Shortest(config.RopeTheta),
        };
        if (config.RopeScalingFactor != 1)
        {
            json["use_scaled_rope"] = true;
            json["rope_scaling_factor"] = Shortest(config.RopeScalingFactor);
        }

        return json;
    }

    /// <summary>config.json: as it is where the source has one, else what params.json says in its words.</summary>
    /// <param name="source">The checkpoint.</param>
    /// <param name="tiesOutput">Whether it has no output of its own.</param>
    /// <param name="quantization">What matrices are quantised to, with an output of its own then; <see langword="null"/> for nothing.</param>
    public static JsonObject ToHuggingFace(CheckpointSource source, bool tiesOutput, TensorType? quantization)
    {
        var json = source is HuggingFaceCheckpoint { ConfigPath: var path }
            ? JsonNode.Parse(File.ReadAllBytes(path))!.AsObject() // an object, as it was when it was read before
            : FromMeta(source, tiesOutput);
        if (quantization is { } type)
        {
            json["tie_word_embeddings"] = false;
            json[QuantizationConfig.Key] = QuantizationConfig.Write(type);
        }

        return json;
    }

    private static JsonObject FromMeta(CheckpointSource source, bool tiesOutput)
    {
        var config = source.Config;
        var json = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["model_type"] = "llama",
            ["hidden_act"] = "silu",
            ["hidden_size"] = config.Dimension,
            ["intermediate_size"] = config.HiddenDimension,
            ["num_hidden_layers"] = config.LayerCount,
            ["num_attention_heads"] = config.HeadCount,
            ["num_key_value_heads"] = config.KeyValueHeadCount,
            ["vocab_size"] = config.VocabularySize,
            ["rms_norm_eps"] = Shortest(config.NormEpsilon),
            ["rope_theta"] = Shortest(config.RopeTheta),
            ["tie_word_embeddings"] = tiesOutput,
        };
        if (config.RopeScalingFactor != 1)
        {
            json["rope_scaling"] = new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = Shortest(config.RopeScalingFactor),
                ["low_freq_factor"] = Shortest(config.RopeLowFrequencyFactor),
                ["high_freq_factor"] = Shortest(config.RopeHighFrequencyFactor),
                ["original_max_position_embeddings"] = (int)config.RopeOldContextLength,
            };
        }

        return json;
    }

    // 1E-05 and not 9.999999747378752E-06: the fewest digits that give the same float back.
    private static JsonNode Shortest(float value) => JsonNode.Parse(value.ToString(CultureInfo.InvariantCulture))!; // a number
}
