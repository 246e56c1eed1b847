namespace Distributed.Engine.Checkpoints;

/// <summary>
/// rope_theta and rope_scaling of a config.json, or rope_parameters that has both, as transformers' modeling_rope_utils.py reads them.
/// </summary>
internal static class HuggingFaceRope
{
    /// <summary>The config with the file's rotary frequencies.</summary>
    /// <param name="json">Of the whole file.</param>
    /// <param name="config">All but the frequencies.</param>
    /// <param name="maxPositions">max_position_embeddings, where the file has it.</param>
    /// <exception cref="CheckpointException">The kind of scaling, or one of its keys, is not known.</exception>
    public static LlamaConfig Read(JsonNumbers json, LlamaConfig config, int? maxPositions)
    {
        var theta = json.Number("rope_theta", 1, 1e12);
        var scaling = json.Object("rope_scaling");
        if (json.Object("rope_parameters") is { } parameters)
        {
            scaling = scaling is null ? parameters : throw json.Error("has both rope_scaling and rope_parameters; keep one");
            theta = parameters.Number("rope_theta", 1, 1e12) ?? theta;
        }

        config = config with { RopeTheta = (float)(theta ?? 10000) };
        if (scaling is null)
        {
            return config;
        }

        var oldKind = scaling.Text("type");
        var kind = scaling.Text("rope_type") ?? oldKind ?? throw scaling.Missing("rope_type");
        config = kind switch
        {
            "default" => config,
            "linear" => config with { RopeScaling = RopeScalingKind.Linear, RopeScalingFactor = Factor(scaling) },
            "dynamic" => ReadDynamic(scaling, config, maxPositions),
            "llama3" => ReadLlama3(scaling, config),
            _ => throw scaling.Error($"has rope_type {Printable.Of(kind)}; default, linear, dynamic and llama3 can be run"),
        };
        scaling.RequireNoOthers();
        return config;
    }

    // Up to the context that the model was trained with it changes nothing; beyond, every position's angle depends on the length so far.
    private static LlamaConfig ReadDynamic(JsonNumbers scaling, LlamaConfig config, int? maxPositions)
    {
        _ = Factor(scaling);
        var limit = scaling.Integer("original_max_position_embeddings", 1, 1 << 28) ?? maxPositions;
        return config with { MaxSequenceLength = limit ?? throw scaling.Missing("original_max_position_embeddings") };
    }

    private static LlamaConfig ReadLlama3(JsonNumbers scaling, LlamaConfig config)
    {
        var low = Required(scaling, "low_freq_factor", 1e-3, 1e3);
        var high = Required(scaling, "high_freq_factor", 1e-3, 1e3);
        return high > low
            ? config with
            {
                RopeScalingFactor = Factor(scaling),
                RopeLowFrequencyFactor = low,
                RopeHighFrequencyFactor = high,
                RopeOldContextLength = Required(scaling, "original_max_position_embeddings", 1, 1 << 28),
            }
            : throw scaling.Error($"has low_freq_factor {low} and high_freq_factor {high}; the second must be the greater");
    }

    private static float Factor(JsonNumbers scaling) => Required(scaling, "factor", 1, 1e6);

    private static float Required(JsonNumbers scaling, string key, double least, double most)
        => (float)(scaling.Number(key, least, most) ?? throw scaling.Missing(key));
}
