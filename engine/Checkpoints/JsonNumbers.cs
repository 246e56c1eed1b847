using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The values of params.json or config.json, each taken once with its range; what is not taken is refused at the end.
/// </summary>
internal sealed class JsonNumbers
{
    private readonly string _path;
    private readonly Dictionary<string, JsonElement> _values = new(StringComparer.Ordinal);

    /// <summary>Takes the object at the root, or the one under its key <c>model</c> (the form with training arguments beside it).</summary>
    public JsonNumbers(JsonElement root, string path)
    {
        _path = path;
        if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("model", out var model))
        {
            root = model;
        }

        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Error("is no JSON object");
        }

        // null is Python's None: the default, as if the key were not there.
        foreach (var property in root.EnumerateObject().Where(property => property.Value.ValueKind != JsonValueKind.Null))
        {
            _values.Add(property.Name, property.Value);
        }
    }

    public int? Integer(string key, int least, int most)
        => !_values.Remove(key, out var value) ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= least && number <= most ? number
            : throw Error($"has {key} {Shown(value)}, which must be an integer from {least} to {most}");

    public double? Number(string key, double least, double most)
        => !_values.Remove(key, out var value) ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= least && number <= most ? number
            : throw Error($"has {key} {Shown(value)}, which must be a number from {least} to {most}");

    public bool? Boolean(string key)
        => !_values.Remove(key, out var value) ? null
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : throw Error($"has {key} {Shown(value)}, which must be true or false");

    public string? Text(string key)
        => !_values.Remove(key, out var value) ? null
            : value.ValueKind == JsonValueKind.String ? value.GetString()
            : throw Error($"has {key} {Shown(value)}, which must be a text");

    public IReadOnlyList<string>? Texts(string key)
        => !_values.Remove(key, out var value) ? null
            : value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
                ? [.. value.EnumerateArray().Select(item => item.GetString()!)] // not null: a string
            : throw Error($"has {key} {Shown(value)}, which must be a list of texts");

    /// <summary>One integer or a list of them; empty where there is neither.</summary>
    public ImmutableArray<int> Integers(string key, int least, int most)
    {
        if (!_values.Remove(key, out var value))
        {
            return [];
        }

        IEnumerable<JsonElement> items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : [value];
        return [.. items.Select(item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out var number) && number >= least && number <= most
            ? number
            : throw Error($"has {key} {Shown(value)}, which must be integers from {least} to {most}"))];
    }

    /// <summary>An object in the file, whose values are taken in the same manner.</summary>
    public JsonNumbers? Object(string key)
        => !_values.Remove(key, out var value) ? null : new JsonNumbers(value, $"{_path}, {key},");

    public void Ignore(string key) => _values.Remove(key);

    public void RequireNoOthers()
    {
        if (_values.Keys.Order(StringComparer.Ordinal).FirstOrDefault() is { } key)
        {
            throw Error(
                $"has the key '{Printable.Of(key)}', which is not known here and might change the model; remove it if it does not matter");
        }
    }

    public CheckpointException Missing(string key) => Error($"lacks the key {key}");

    public CheckpointException Error(string problem) => new($"{_path} {problem}.");

    private static string Shown(JsonElement value) => Printable.Of(value.GetRawText());
}
