
namespace Distributed.Engine.Checkpoints;

/// <summary>
/// params.json: the keys of Meta's ModelArgs. What is absent has the reference's default; what is unknown and might change a number is
/// refused by name, since a wrong guess here is text that looks nearly right.
/// </summary>
internal sealed record LlamaParameters
{
    /// <summary>The largest number of token ids; that of Llama 3 is 128,256.</summary>
    public const int MaxVocabularySize = 1 << 24;

    private const int MaxHiddenDimension = 1 << 22;
    private const int MaxByteCount = 1 << 20;

    public required int Dimension { get; init; }

    public required int LayerCount { get; init; }

    public required int HeadCount { get; init; }

    public required int KeyValueHeadCount { get; init; }

    public required int HiddenDimension { get; init; }

    /// <summary><see langword="null"/> where the file says -1: the tokenizer's.</summary>
    public required int? VocabularySize { get; init; }

    public required float NormEpsilon { get; init; }

    public required float RopeTheta { get; init; }

    public required bool UseScaledRope { get; init; }

    /// <summary><see langword="null"/> where the file leaves it open.</summary>
    public required float? RopeScalingFactor { get; init; }

    /// <exception cref="CheckpointException">
    /// The file is missing, no JSON object, or a value is missing, unknown or out of range.
    /// </exception>
    public static LlamaParameters Read(string path)
    {
        using var document = CheckpointJson.Parse(path, MaxByteCount, "consolidated.00.pth");
        return Parse(new JsonNumbers(document.RootElement, path));
    }

    /// <summary>Reads the text of a params.json.</summary>
    /// <param name="json">UTF-8, with or without a byte order mark.</param>
    /// <param name="path">Names the file in errors.</param>
    public static LlamaParameters Parse(ReadOnlyMemory<byte> json, string path)
    {
        using var document = CheckpointJson.Parse(json, path);
        return Parse(new JsonNumbers(document.RootElement, path));
    }

    /// <summary>The config, once the number of token ids is known.</summary>
    public LlamaConfig ToConfig(int vocabularySize) => new()
    {
        Dimension = Dimension,
        LayerCount = LayerCount,
        HeadCount = HeadCount,
        KeyValueHeadCount = KeyValueHeadCount,
        HiddenDimension = HiddenDimension,
        VocabularySize = vocabularySize,
        NormEpsilon = NormEpsilon,
        RopeTheta = RopeTheta,
        RopeScalingFactor = UseScaledRope ? RopeScalingFactor ?? DefaultRopeScalingFactor(Dimension, vocabularySize) : 1f,
    };

    /// <summary>
    /// The reference's rule (llama/model.py, FeedForward): two thirds of 4 dim, scaled, rounded up. Python truncates twice and multiplies
    /// as float64.
    /// </summary>
    public static long HiddenDimensionOf(int dimension, double? multiplier, int multipleOf)
    {
        var hidden = 2L * (4L * dimension) / 3;
        hidden = multiplier is { } factor ? (long)(factor * hidden) : hidden;
        return (hidden + multipleOf - 1) / multipleOf * multipleOf;
    }

    /// <summary>
    /// The files of Llama 3.2 1B and 3B need 32 but do not say so (llama-models issues 166 and 241); they are known by their shapes.
    /// </summary>
    private static float DefaultRopeScalingFactor(int dimension, int vocabularySize)
        => dimension is 2048 or 3072 && vocabularySize == 128256 ? 32f : 8f;

    private static LlamaParameters Parse(JsonNumbers numbers)
    {
        var dimension = numbers.Integer("dim", 1, 1 << 17) ?? throw numbers.Missing("dim");
        var layerCount = numbers.Integer("n_layers", 1, 4096) ?? throw numbers.Missing("n_layers");
        var headCount = numbers.Integer("n_heads", 1, 1 << 14) ?? throw numbers.Missing("n_heads");
        var keyValueHeadCount = numbers.Integer("n_kv_heads", 1, headCount) ?? headCount;
        var vocabularySize = numbers.Integer("vocab_size", -1, MaxVocabularySize) ?? -1;
        var multipleOf = numbers.Integer("multiple_of", 1, 1 << 17) ?? 256;
        var hidden = HiddenDimensionOf(dimension, numbers.Number("ffn_dim_multiplier", 1e-3, 64), multipleOf);
        var parameters = new LlamaParameters
        {
            Dimension = dimension,
            LayerCount = layerCount,
            HeadCount = headCount,
            KeyValueHeadCount = keyValueHeadCount,
            HiddenDimension = hidden is >= 1 and <= MaxHiddenDimension
                ? (int)hidden
                : throw numbers.Error($"gives a hidden dimension of {hidden}, not 1 to {MaxHiddenDimension}"),
            VocabularySize = vocabularySize switch
            {
                -1 => null,
                0 => throw numbers.Error("has vocab_size 0; it is a number of tokens, or -1 for the tokenizer's"),
                _ => vocabularySize,
            },
            NormEpsilon = (float)(numbers.Number("norm_eps", 1e-12, 1) ?? 1e-5),
            RopeTheta = (float)(numbers.Number("rope_theta", 1, 1e12) ?? 10000),
            UseScaledRope = numbers.Boolean("use_scaled_rope") ?? false,
            RopeScalingFactor = (float?)numbers.Number("rope_scaling_factor", 1, 1e6),
        };

        if (dimension % headCount != 0 || dimension / headCount % 2 != 0)
        {
            throw numbers.Error($"has dim {dimension} and n_heads {headCount}; a head must be a whole, even number of elements wide");
        }

        if (headCount % keyValueHeadCount != 0)
        {
            throw numbers.Error($"has n_heads {headCount} and n_kv_heads {keyValueHeadCount}; the second must divide the first");
        }

        if (parameters is { UseScaledRope: false, RopeScalingFactor: not null })
        {
            throw numbers.Error("has a rope_scaling_factor without use_scaled_rope; set use_scaled_rope to true or remove it");
        }

        // Sizes of buffers, which the caller's own options decide here.
        numbers.Ignore("max_seq_len");
        numbers.Ignore("max_batch_size");
        numbers.RequireNoOthers();
        return parameters;
    }
}
