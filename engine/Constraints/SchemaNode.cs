using System.Text.Json;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Constraints;

/// <summary>A schema within a schema.</summary>
/// <param name="Element">An object, <see langword="true"/> or <see langword="false"/>.</param>
/// <param name="Path">Where it stands, as a <c>$ref</c> would say it: <c>#/properties/name</c>.</param>
internal readonly record struct SchemaNode(JsonElement Element, string Path)
{
    /// <summary>Of a path in a message, in characters.</summary>
    public const int MaxShownPath = 200;

    /// <summary>Keywords that say nothing about what is valid.</summary>
    private static readonly HashSet<string> Annotations = new(StringComparer.Ordinal)
    {
        "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$id", "$comment", "$anchor",
        "$defs", "definitions", "discriminator", "contentMediaType", "contentEncoding",
    };

    /// <summary>What it says about what is valid.</summary>
    /// <exception cref="SchemaException">It is no schema.</exception>
    public Dictionary<string, JsonElement> Keywords()
    {
        if (Element.ValueKind != JsonValueKind.Object)
        {
            throw Error("is no schema: it must be an object, true or false");
        }

        var keywords = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var property in Element.EnumerateObject())
        {
            if (!Annotations.Contains(property.Name) && !property.Name.StartsWith("x-", StringComparison.Ordinal)
                && !keywords.TryAdd(property.Name, property.Value))
            {
                throw Error($"has '{Printable.Of(property.Name)}' twice");
            }
        }

        return keywords;
    }

    public SchemaNode Child(string keyword, JsonElement element) => new(element, $"{Path}/{Escape(keyword)}");

    public SchemaNode Child(string keyword, string name, JsonElement element) => new(element, $"{Path}/{keyword}/{Escape(name)}");

    /// <summary>The schemas of a list.</summary>
    public IReadOnlyList<SchemaNode> Children(string keyword, JsonElement list)
    {
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            throw Error($"has '{keyword}' that is no list of schemas");
        }

        var node = this;
        return [.. list.EnumerateArray().Select((element, i) => node.Child(keyword, i.ToString(System.Globalization.CultureInfo.InvariantCulture), element))];
    }

    public SchemaException Error(string problem) => new($"The schema at {Printable.Of(Path, MaxShownPath)} {problem}.");

    private static string Escape(string name) => name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);
}
