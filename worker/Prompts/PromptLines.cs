using System.Text.Json;

namespace Distributed.Worker.Prompts;

/// <summary>Prompts from a file or from standard input: one a line, or JSON lines with <c>prompt</c>.</summary>
internal static class PromptLines
{
    /// <summary>
    /// The prompts in <paramref name="text"/>: JSON lines if <paramref name="name"/> ends in .jsonl or the first line is an object with
    /// <c>prompt</c>, else one a line. Blank lines are no prompts.
    /// </summary>
    /// <param name="text">All lines.</param>
    /// <param name="name">Where they come from.</param>
    /// <param name="problems">Takes a sentence for each line that is not what the first one promised.</param>
    public static IReadOnlyList<string> Parse(string text, string name, List<string> problems)
    {
        var prompts = new List<string>();
        bool? isJson = name.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) ? true : null;
        var reader = new StringReader(text);
        for (var number = 1; reader.ReadLine() is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            var prompt = isJson == false ? null : FromJson(line);
            isJson ??= prompt is not null;
            if (isJson == true && prompt is null)
            {
                problems.Add($"{name}, line {number}, is not a JSON object with \"prompt\", a string.");
            }
            else
            {
                prompts.Add(prompt ?? line);
            }
        }

        return prompts;
    }

    private static string? FromJson(string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("prompt", out var prompt)
                ? UserText.FromJson(prompt)
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
