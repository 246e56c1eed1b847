using System.Text.Json;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Options;

/// <summary>Reads <c>--config</c>: a JSON object whose keys are the command's options, in either spelling.</summary>
internal static class ConfigFile
{
    private const int MaxByteCount = 16 << 20;

    private static readonly JsonDocumentOptions Syntax = new()
    {
        MaxDepth = 16,
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
    };

    /// <summary>Adds the file's values under those that <paramref name="values"/> has; its paths are relative to its folder.</summary>
    /// <returns>Whether there is such an object; mistakes within it do not count.</returns>
    public static bool TryRead(string path, string command, OptionValues values, List<string> problems)
    {
        try
        {
            using var document = Parse(path);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                problems.Add($"--config {path} is not a JSON object; write {{\"option\": value, ...}}.");
                return false;
            }

            AddProperties(document.RootElement, path, command, values, problems);
            return true;
        }
        catch (JsonException exception)
        {
            problems.Add($"--config {path} is not JSON (line {exception.LineNumber + 1}); correct it there.");
        }
        catch (InvalidOperationException)
        {
            problems.Add($"--config {path} has a string with half a surrogate pair (\\uD800 to \\uDFFF); correct it there.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problems.Add($"--config {path} cannot be read: {exception.Message}");
        }

        return false;
    }

    private static JsonDocument Parse(string path)
    {
        using var stream = UserText.OpenFile(path);
        return stream.Length <= MaxByteCount
            ? JsonDocument.Parse(stream, Syntax)
            : throw new IOException($"it has {stream.Length} bytes; a config has at most {MaxByteCount}.");
    }

    private static void AddProperties(JsonElement root, string path, string command, OptionValues values, List<string> problems)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var known = OptionCatalog.Of(command).Where(option => option.Name != OptionCatalog.Config).ToArray();
        var inputsGiven = OptionCatalog.Inputs.Any(values.Has);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in root.EnumerateObject())
        {
            var name = property.Name.Replace('_', '-');
            var definition = Array.Find(known, option => option.Name == name || option.ConfigPlural == name);
            if (definition is null && OptionCatalog.IsPassedOver(command, name))
            {
                continue;
            }

            if (definition is null)
            {
                var keys = string.Join(", ", known.Select(option => option.ConfigPlural ?? option.UnderscoreName));
                problems.Add($"\"{property.Name}\" in {path} is no option of {command}; the keys are {keys}.");
            }
            else if (!seen.Add(definition.Name))
            {
                problems.Add($"\"{property.Name}\" in {path} is given twice; keep one.");
            }
            else if (property.Value.ValueKind != JsonValueKind.Null && !(inputsGiven && OptionCatalog.Inputs.Contains(definition.Name)))
            {
                Add(definition, property, path, folder, values, problems);
            }
        }
    }

    private static void Add(
        OptionDefinition definition, JsonProperty property, string path, string folder, OptionValues values, List<string> problems)
    {
        if (Texts(definition, property.Value) is not { } texts)
        {
            var kind = property.Value.ValueKind.ToString().ToLowerInvariant();
            problems.Add($"\"{property.Name}\" in {path} is of the kind {kind}, which this option does not take; see worker --help.");
        }
        else if (texts.Count > 0)
        {
            var located = definition.IsPath ? texts.ConvertAll(text => Path.Combine(folder, text)) : texts;
            values.Add(definition.Name, $"\"{property.Name}\" in {path}:", located);
        }
    }

    // The value as the command line would have spelt it; null where it has no such form.
    private static List<string>? Texts(OptionDefinition definition, JsonElement value)
    {
        if (definition.Name == OptionCatalog.Dialogs)
        {
            return [value.GetRawText()];
        }

        if (Scalar(value) is { } scalar)
        {
            return [scalar];
        }

        if (value.ValueKind != JsonValueKind.Array || !(definition.Repeats || definition.Name == OptionCatalog.StopTokenIds))
        {
            return null;
        }

        var idLists = definition.Name is OptionCatalog.PromptTokens or OptionCatalog.StopTokenIds;
        var items = value.EnumerateArray()
            .Select(item => idLists && item.ValueKind == JsonValueKind.Array ? IdList(item) : Scalar(item))
            .ToList();
        if (items.Contains(null))
        {
            return null;
        }

        // [1, 2, 3] is one list of ids, [[1, 2], [3]] are two.
        var oneList = idLists && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number);
        return oneList ? [string.Join(',', items)] : [.. items.OfType<string>()];
    }

    private static string? IdList(JsonElement list)
        => list.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number)
            ? string.Join(',', list.EnumerateArray().Select(item => item.GetRawText()))
            : null;

    private static string? Scalar(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => null,
    };
}
