using System.Text.Json.Nodes;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The object of config.json that says how matrices are quantised, under the key that transformers has for it, so that programs which know other methods
/// alone refuse the folder by name.
/// </summary>
internal static class QuantizationConfig
{
    /// <summary>transformers' key.</summary>
    public const string Key = "quantization_config";

    private const string Method = "distributed";
    private const int Version = 1;
    private const int BlockLength = Kernels.QuantizedLayout.BlockLength;

    /// <summary>What a conversion writes.</summary>
    public static JsonObject Write(TensorType type) => new()
    {
        ["quant_method"] = Method,
        ["version"] = Version,
        ["format"] = type.ToString().ToLowerInvariant(),
        ["block_size"] = BlockLength,
    };

    /// <summary>What the matrices are quantised to; <see langword="null"/> where the config has no such object.</summary>
    /// <exception cref="CheckpointException">They are quantised in another way; the message says what to do.</exception>
    public static TensorType? Read(JsonNumbers config)
    {
        if (config.Object(Key) is not { } json)
        {
            return null;
        }

        if (json.Text("quant_method") is var method && method != Method)
        {
            throw json.Error($"is of the method {Printable.Of(method ?? "without a name")}, which cannot be read; take the model's files in float32, bfloat16 or float16");
        }

        if (json.Integer("version", 1, int.MaxValue) is var version && version != Version)
        {
            throw json.Error($"has version {version?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none"}; this program reads version {Version}: convert the original again");
        }

        TensorType type = json.Text("format") switch
        {
            "int8" => TensorType.Int8,
            "int4" => TensorType.Int4,
            var format => throw json.Error($"has format {Printable.Of(format ?? "none")}, which is neither int8 nor int4"),
        };
        if (json.Integer("block_size", 1, int.MaxValue) is var length && length != BlockLength)
        {
            throw json.Error($"has another block_size than {BlockLength}; convert the original again");
        }

        json.RequireNoOthers();
        return type;
    }
}
