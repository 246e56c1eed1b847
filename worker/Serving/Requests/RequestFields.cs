using System.Collections.Immutable;
using System.Text.Json;
using Distributed.Engine.Checkpoints;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Serving.Requests;

/// <summary>
/// The fields of a request's JSON object. A field that is null counts as absent, as OpenAI's clients send it; one of the wrong kind is an
/// <see cref="ApiException"/> that names it.
/// </summary>
/// <param name="root">The object.</param>
/// <param name="tokenIds">Lists of its fields that are not in it; <see langword="null"/> for none.</param>
internal readonly struct RequestFields(JsonElement root, TokenIdLists? tokenIds = null)
{
    private const int ShownLength = 40;

    /// <summary>The field's value; <see langword="null"/> where it is absent or null.</summary>
    public JsonElement? this[string name]
        => root.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null ? value : null;

    /// <summary>
    /// A value as a sentence shows it: its JSON, cut short and without control characters, of which JSON forbids only those below U+0020, or for what has parts its kind.
    /// </summary>
    public static string Shown(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
        {
            return value.ValueKind == JsonValueKind.Object ? "an object" : "a list";
        }

        return Printable.Of(value.GetRawText(), ShownLength);
    }

    /// <summary>A number within its range; <see langword="null"/> where it is absent.</summary>
    public double? Number(NumericField field) => this[field.Name] is { } value ? Number(value, field) : null;

    /// <summary>A whole number within its range; <see langword="null"/> where it is absent.</summary>
    public int? Integer(NumericField field) => (int?)Long(field);

    /// <inheritdoc cref="Integer"/>
    public long? Long(NumericField field) => this[field.Name] is { } value ? Long(value, field) : null;

    /// <summary>The number that an element is.</summary>
    public static double Number(JsonElement value, NumericField field, string? param = null)
        => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= field.Minimum && number <= field.Maximum
            ? number
            : throw field.Refuse(Shown(value), param);

    /// <inheritdoc cref="Number(JsonElement, NumericField, string?)"/>
    public static long Long(JsonElement value, NumericField field, string? param = null)
        => value.ValueKind == JsonValueKind.Number && TryWhole(value, out var number) && number >= field.Minimum && number <= field.Maximum
            ? number
            : throw field.Refuse(Shown(value), param);

    /// <summary>True or false.</summary>
    public bool Flag(string name, bool absent = false) => this[name] switch
    {
        null => absent,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw ApiException.Field(name, $"{name} is {Shown(value)}; it must be true or false."),
    };

    /// <summary>A text; <see langword="null"/> where it is absent.</summary>
    public string? Text(string name) => this[name] is { } value ? Text(value, name) : null;

    /// <summary>The text that an element is.</summary>
    public static string Text(JsonElement value, string param)
        => value.ValueKind != JsonValueKind.String
            ? throw ApiException.Field(param, $"{param} is {Shown(value)}; it must be a string.")
            : UserText.FromJson(value) ?? throw ApiException.Field(param, $"{param} has half a surrogate pair (\\uD800 to \\uDFFF); send text.");

    /// <summary>An object; <see langword="null"/> where it is absent.</summary>
    public RequestFields? Object(string name) => this[name] is { } value ? Object(value, name) : null;

    /// <summary>The object that an element is.</summary>
    public static RequestFields Object(JsonElement value, string param)
        => value.ValueKind == JsonValueKind.Object
            ? new RequestFields(value)
            : throw ApiException.Field(param, $"{param} is {Shown(value)}; it must be an object.");

    /// <summary>The lists of token ids of a field; <see langword="null"/> where <see cref="this[string]"/> has what there is.</summary>
    public ImmutableArray<ImmutableArray<int>>? TokenIdLists(string name) => tokenIds?[name];

    /// <summary>A list of token ids; what they may be the model says later.</summary>
    public static ImmutableArray<int> TokenIds(JsonElement list, string param)
    {
        var ids = ImmutableArray.CreateBuilder<int>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray())
        {
            ids.Add((int)Long(item, NumericField.TokenId, $"{param}[{ids.Count}]"));
        }

        return ids.MoveToImmutable();
    }

    /// <summary>Fails where a field asks for something that this server does not do.</summary>
    /// <param name="name">The field.</param>
    /// <param name="isHarmless">Whether this value of it asks for nothing.</param>
    /// <param name="reason">Why it is not done, and what to do instead.</param>
    public void Refuse(string name, Func<JsonElement, bool> isHarmless, string reason)
    {
        if (this[name] is { } value && !isHarmless(value))
        {
            throw ApiException.Field(name, $"{name} is not supported: {reason}", "unsupported_parameter");
        }
    }

    // 3.0 and 3e0 are whole too.
    private static bool TryWhole(JsonElement value, out long number)
    {
        if (value.TryGetInt64(out number))
        {
            return true;
        }

        if (value.TryGetDouble(out var real) && Math.Abs(real) < 1L << 53 && Math.Floor(real) == real)
        {
            number = (long)real;
            return true;
        }

        return false;
    }
}
