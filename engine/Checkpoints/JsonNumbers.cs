using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>The values of params.json, each taken once with its range; what is not taken is refused at the end.</summary>
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
