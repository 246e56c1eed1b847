using System.Globalization;
using System.Text.Json;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// What files of public models are known to leave open or to say wrongly. None of it keeps a model from running; all of it has cost
/// somebody a day of text that looks nearly right.
/// </summary>
internal static class ModelTraps
{
    private const int MaxByteCount = 1 << 20;
    private const int Llama3VocabularySize = 128256;

    /// <summary>A sentence for each that applies.</summary>
    /// <param name="directory">The folder, whose params.json or config.json was read before.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="tiesOutput">Whether it has no output of its own.</param>
    /// <param name="tokenizer">The tokenizer; <see langword="null"/> where none was read.</param>
    public static IEnumerable<Finding> Of(
        string directory, CheckpointSource checkpoint, TensorType type, bool tiesOutput, Tokenizer? tokenizer)
    {
        var isMeta = checkpoint is MetaCheckpoint;
        using var document = CheckpointJson.Parse(Path.Combine(directory, isMeta ? "params.json" : "config.json"), MaxByteCount, "the weights");
        var root = document.RootElement.TryGetProperty("model", out var model) ? model : document.RootElement;
        List<Finding> findings =
        [
            .. isMeta ? OfParams(root, (MetaCheckpoint)checkpoint, type) : OfConfig(root, checkpoint, type),
            .. OfTokenizer(checkpoint, tokenizer),
        ];
        if (tiesOutput)
        {
            findings.Add(Finding.Note("The files have no output.weight; the embedding takes its place, as in tied models."));
        }

        if (checkpoint.Config.MaxSequenceLength is { } limit)
        {
            findings.Add(Finding.Warning($"Dynamic rotary scaling changes every angle beyond {limit} positions; a greater --max-seq-len is refused."));
        }

        return findings;
    }

    private static IEnumerable<Finding> OfParams(JsonElement root, MetaCheckpoint checkpoint, TensorType type)
    {
        var config = checkpoint.Config;
        if (!Has(root, "vocab_size") || root.GetProperty("vocab_size").GetInt32() < 0)
        {
            yield return Finding.Note(
                $"params.json leaves the number of token ids to the tokenizer (vocab_size -1); the files have {config.VocabularySize}.");
        }

        if (Has(root, "use_scaled_rope") && root.GetProperty("use_scaled_rope").GetBoolean() && !Has(root, "rope_scaling_factor"))
        {
            var reason = config.RopeScalingFactor == 32 ? "known by its shape as Llama 3.2 1B or 3B" : "as Llama 3.1 and 3.3 have";
            yield return Finding.Note(string.Create(
                CultureInfo.InvariantCulture,
                $"params.json does not say by which factor rotary angles are scaled; {config.RopeScalingFactor} is taken, {reason}: set rope_scaling_factor if that is wrong."));
        }

        if (!Has(root, "rope_theta") && config.VocabularySize == Llama3VocabularySize)
        {
            yield return Finding.Warning(
                "The model has as many token ids as Llama 3 but params.json has no rope_theta, so that 10000 is taken; Llama 3 has 500000: set it.");
        }

        if (config is { Dimension: 4096, LayerCount: 32, VocabularySize: 32000, NormEpsilon: < 5e-6f } && type == TensorType.BFloat16)
        {
            yield return Finding.Warning(
                "params.json has norm_eps 1e-06, as early files of Llama-2-7b-chat have by mistake; Llama 2 was trained with 1e-05: set it unless this is Llama 1.");
        }

        if (config is { Dimension: 16384, KeyValueHeadCount: 16 })
        {
            yield return Finding.Note("These are the files of Llama 3.1 405B for 16 ranks, which hold each of the 8 key-value heads twice.");
        }

        if (checkpoint.EmbeddingLayout != EmbeddingLayout.Whole)
        {
            yield return Finding.Note(checkpoint.EmbeddingLayout == EmbeddingLayout.SplitByDimension
                ? "The shards divide the embedding by columns, as those of Llama 1 and 2 do; their shapes tell."
                : "The shards divide the embedding by rows, as those of Llama 3 do; their shapes tell.");
        }
    }

    private static IEnumerable<Finding> OfConfig(JsonElement root, CheckpointSource checkpoint, TensorType type)
    {
        var config = checkpoint.Config;
        var stored = StorageType.Of(type).Name;
        var said = Text(root, "torch_dtype") ?? Text(root, "dtype");
        if (said is not null && said != stored)
        {
            yield return Finding.Note($"config.json says {Printable.Of(said)} but the files hold {stored}; what the files hold counts.");
        }

        if (config.SlidingWindow > 0)
        {
            yield return Finding.Note(
                $"From layer {config.FirstSlidingLayer} on a token attends to the last {config.SlidingWindow} positions alone (sliding_window).");
        }

        if (config.RopeScalingFactor != 1)
        {
            yield return Finding.Note(string.Create(
                CultureInfo.InvariantCulture,
                $"Rotary angles are scaled by {config.RopeScalingFactor} ({config.RopeScaling.ToString().ToLowerInvariant()})."));
        }
    }

    private static IEnumerable<Finding> OfTokenizer(CheckpointSource checkpoint, Tokenizer? tokenizer)
    {
        if (tokenizer is null)
        {
            yield break;
        }

        var unused = checkpoint.Config.VocabularySize - tokenizer.VocabularySize;
        if (unused > 0 && checkpoint is not MetaCheckpoint)
        {
            yield return Finding.Note(
                $"The model has {checkpoint.Config.VocabularySize} token ids and the tokenizer {tokenizer.VocabularySize}; the last {unused} say nothing.");
        }

        if (checkpoint.EosTokenIds.IsEmpty && tokenizer.EosId < 0)
        {
            yield return Finding.Warning(
                "Neither config.json nor the tokenizer says which token ends a text, so only --max-gen-len does; name it with --stop-token-ids.");
        }
    }

    private static bool Has(JsonElement root, string key) => root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null;

    private static string? Text(JsonElement root, string key)
        => root.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
