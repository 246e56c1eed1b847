using System.Text.Json;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Output;

/// <summary>What the user gave for one row, as the outputs show it.</summary>
internal abstract record RowInput
{
    private protected const string Separator = "\n\n==================================\n\n";

    /// <summary>What Meta's example scripts print around the row's text.</summary>
    public abstract RowFrame Frame { get; }

    /// <summary>Writes it as a property of the row's JSON object.</summary>
    public abstract void WriteTo(Utf8JsonWriter json);

    /// <summary>Writes the property <c>generation</c>.</summary>
    public abstract void WriteGeneration(Utf8JsonWriter json, string text);
}

/// <summary>A text to continue.</summary>
/// <param name="Text">As given, or what its ids say where ids were given.</param>
/// <param name="Tokens">What enters the model.</param>
internal sealed record PromptInput(string Text, IReadOnlyList<int> Tokens) : RowInput
{
    public override RowFrame Frame => new($"{Text}\n> ", Separator);

    public override void WriteTo(Utf8JsonWriter json) => json.WritePlain("prompt", Text);

    public override void WriteGeneration(Utf8JsonWriter json, string text) => json.WritePlain("generation", text);
}

/// <summary>A dialog to answer.</summary>
internal sealed record DialogInput(IReadOnlyList<ChatMessage> Messages) : RowInput
{
    public override RowFrame Frame
    {
        get
        {
            var messages = Messages.Select(message => $"{Capitalized(message.Role)}: {message.Content}\n\n");
            return new($"{string.Concat(messages)}> Assistant: ", Separator);
        }
    }

    public override void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartArray("dialog");
        foreach (var message in Messages)
        {
            json.WriteStartObject();
            WriteMessage(json, message);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    public override void WriteGeneration(Utf8JsonWriter json, string text)
    {
        json.WriteStartObject("generation");
        WriteMessage(json, new ChatMessage(ChatMessage.Assistant, text));
        json.WriteEndObject();
    }

    private static void WriteMessage(Utf8JsonWriter json, ChatMessage message)
    {
        json.WritePlain("role", message.Role);
        json.WritePlain("content", message.Content);
    }

    private static string Capitalized(string role) => role.Length == 0 ? role : char.ToUpperInvariant(role[0]) + role[1..];
}
