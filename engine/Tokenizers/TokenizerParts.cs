using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// What a tokenizer.json says around its model: normalizer, pre-tokenizer and post-processor, as the known families have them. Nothing is
/// interpreted that is not recognised whole.
/// </summary>
internal sealed record TokenizerParts(bool IsByteLevel, WordSplit Split, bool NormalizesToFormC, bool AddsDummyPrefix, string? BosToken)
{
    private const string Space = "\u2581";

    /// <summary>Reads them from the root of the file.</summary>
    /// <param name="root">The file.</param>
    /// <param name="error">Makes an error of what is wrong, to follow the file's name in a sentence.</param>
    /// <exception cref="TokenizerFormatException">A part is not known.</exception>
    public static TokenizerParts Read(JsonElement root, Func<string, TokenizerFormatException> error)
    {
        var normalizers = Steps(root, "normalizer", "normalizers");
        var preTokenizers = Steps(root, "pre_tokenizer", "pretokenizers");
        var bos = BosOf(Steps(root, "post_processor", "processors"));
        var last = preTokenizers.Count == 0 ? null : Type(preTokenizers[^1]);
        if (last != "ByteLevel")
        {
            return new TokenizerParts(false, WordSplit.None, false, Prefix(normalizers, preTokenizers, error), bos);
        }

        var formC = normalizers.Count == 1 && Type(normalizers[0]) == "NFC";
        if (normalizers.Count > 0 && !formC)
        {
            throw error($"has the normalizer {string.Join(", ", normalizers.Select(Type))}; with ByteLevel only NFC can be read");
        }

        return new TokenizerParts(true, SplitOf(preTokenizers, error), formC, false, bos);
    }

    private static WordSplit SplitOf(List<JsonElement> steps, Func<string, TokenizerFormatException> error)
    {
        var byteLevel = steps[^1];
        if (Flag(byteLevel, "add_prefix_space", absent: true))
        {
            throw error("has ByteLevel with add_prefix_space, which cannot be read");
        }

        var usesPattern = Flag(byteLevel, "use_regex", absent: true);
        switch (steps)
        {
            case [_] when usesPattern:
                return WordSplit.Gpt2;
            case [var digits, _] when usesPattern && Type(digits) == "Digits" && Flag(digits, "individual_digits", absent: false):
                return WordSplit.Gpt2Digits;
            case [var split, _] when !usesPattern && Type(split) == "Split":
                var isPlain = Text(split, "behavior") == "Isolated" && !Flag(split, "invert", absent: false);
                var pattern = split.TryGetProperty("pattern", out var value) && value.ValueKind == JsonValueKind.Object
                    ? Text(value, "Regex")
                    : null;
                return isPlain && pattern is not null && WordScanner.Recognise(pattern) is { } known
                    ? known
                    : throw error("has a pre-tokenizer with a pattern that is none of GPT-2's, Llama 3's, Qwen2's and Mistral Nemo's; patterns of files are not run");
            default:
                throw error($"has the pre-tokenizer {string.Join(", ", steps.Select(Type))}, which cannot be read");
        }
    }

    // Llama 2: a normalizer that puts U+2581 in front and in the place of spaces, or Metaspace that does the same.
    private static bool Prefix(
        List<JsonElement> normalizers, List<JsonElement> preTokenizers, Func<string, TokenizerFormatException> error)
    {
        switch (normalizers, preTokenizers)
        {
            case ([var prepend, var replace], []) when Type(prepend) == "Prepend" && Text(prepend, "prepend") == Space && ReplacesSpaces(replace):
                return true;
            case ([var replace], []) when ReplacesSpaces(replace):
                return false;
            case ([], [var metaspace]) when Type(metaspace) == "Metaspace"
                && Text(metaspace, "replacement") == Space
                && !Flag(metaspace, "split", absent: true):
                return Text(metaspace, "prepend_scheme") is "first" or "always";
            default:
                var steps = normalizers.Concat(preTokenizers).Select(Type);
                throw error($"has the normalizer and pre-tokenizer {string.Join(", ", steps)}, which cannot be read");
        }
    }

    private static bool ReplacesSpaces(JsonElement step)
        => Type(step) == "Replace"
            && Text(step, "content") == Space
            && step.TryGetProperty("pattern", out var pattern)
            && pattern.ValueKind == JsonValueKind.Object
            && Text(pattern, "String") == " ";

    // The template of a single text begins with the token that begins a text.
    internal static string? BosOf(List<JsonElement> processors)
        => processors.Where(step => Type(step) == "TemplateProcessing")
            .Select(step => step.GetProperty("single").EnumerateArray().FirstOrDefault())
            .Select(first => first.ValueKind == JsonValueKind.Object && first.TryGetProperty("SpecialToken", out var token)
                ? Text(token, "id")
                : null)
            .FirstOrDefault();

    // A part is absent, one step, or a Sequence of steps.
    internal static List<JsonElement> Steps(JsonElement root, string key, string listKey)
    {
        if (!root.TryGetProperty(key, out var part) || part.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        return Type(part) == "Sequence" ? [.. part.GetProperty(listKey).EnumerateArray()] : [part];
    }

    internal static string? Type(JsonElement step) => Text(step, "type");

    internal static string? Text(JsonElement element, string key)
        => element.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    internal static bool Flag(JsonElement element, string key, bool absent)
        => element.TryGetProperty(key, out var value) ? value.ValueKind == JsonValueKind.True : absent;
}
