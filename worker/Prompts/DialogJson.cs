using System.Text.Json;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Prompts;

/// <summary>Dialogs as JSON: one (a list of messages with role and content), a list of them, or one a line.</summary>
internal static class DialogJson
{
    private const string Shape = "[{\"role\": \"user\", \"content\": \"...\"}]";

    /// <summary>The dialogs in <paramref name="text"/>.</summary>
    /// <param name="text">JSON or JSON lines.</param>
    /// <param name="name">Where it comes from.</param>
    /// <param name="problems">Takes a sentence for each dialog that is none.</param>
    public static IReadOnlyList<IReadOnlyList<ChatMessage>> Parse(string text, string name, List<string> problems)
    {
        var dialogs = new List<IReadOnlyList<ChatMessage>>();
        if (Document(text) is { } document)
        {
            using (document)
            {
                AddAll(document.RootElement, name, dialogs, problems);
            }

            return dialogs;
        }

        if (string.IsNullOrWhiteSpace(text))
        {
            problems.Add($"{name} is empty; write a dialog as {Shape}.");
        }

        foreach (var (index, line) in text.Split('\n').Index())
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            using var lineDocument = Document(line);
            if (lineDocument is null)
            {
                problems.Add($"{name} is neither JSON nor JSON lines (line {index + 1}); write a dialog as {Shape}.");
                return [];
            }

            AddAll(lineDocument.RootElement, $"{name}, line {index + 1},", dialogs, problems);
        }

        return dialogs;
    }

    private static void AddAll(JsonElement element, string name, List<IReadOnlyList<ChatMessage>> dialogs, List<string> problems)
    {
        var isList = element.ValueKind == JsonValueKind.Array
            && element.GetArrayLength() > 0
            && element.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Array);
        var candidates = isList ? [.. element.EnumerateArray()] : new[] { element };
        foreach (var (index, candidate) in candidates.Index())
        {
            if (ToDialog(candidate) is { } dialog)
            {
                dialogs.Add(dialog);
            }
            else
            {
                problems.Add($"{name} has a dialog ({index + 1}) that is not a list of messages with role and content; write {Shape}.");
            }
        }
    }

    private static List<ChatMessage>? ToDialog(JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Array)
        {
            return null;
        }

        var messages = new List<ChatMessage>();
        foreach (var item in element.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Object || Text(item, "role") is not { } role || Text(item, "content") is not { } content)
            {
                return null;
            }

            messages.Add(new ChatMessage(role, content));
        }

        return messages;
    }

    private static string? Text(JsonElement message, string name)
        => message.TryGetProperty(name, out var value) ? UserText.FromJson(value) : null;

    private static JsonDocument? Document(string text)
    {
        try
        {
            return JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 8 });
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
