using System.Text.Json;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Serving.Responses;

/// <summary>The documents of one answer: the whole, or its parts in a stream. Chat and text completions differ in what they say of a choice.</summary>
/// <param name="head">What each document begins with.</param>
internal abstract class AnswerDocuments(AnswerHead head)
{
    /// <summary>Whether a stream has a part for each choice before its text, and one for its end behind it.</summary>
    public abstract bool HasFrame { get; }

    /// <summary>The <c>object</c> of the whole answer.</summary>
    protected abstract string Kind { get; }

    /// <summary>The <c>object</c> of each part of a stream.</summary>
    protected abstract string ChunkKind { get; }

    /// <summary>Writes the whole answer.</summary>
    public void WriteAnswer(Utf8JsonWriter json, IReadOnlyList<Choice> choices, Usage usage)
    {
        json.WriteStartObject();
        head.WriteTo(json, Kind);
        json.WriteStartArray("choices");
        foreach (var choice in choices)
        {
            json.WriteStartObject();
            json.WriteNumber("index", choice.Index);
            WriteChoice(json, choice);
            WriteFinishReason(json, choice.FinishReason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        usage.WriteTo(json);
        json.WriteEndObject();
    }

    /// <summary>Writes the part of a stream that comes before a choice's text.</summary>
    public void WriteOpening(Utf8JsonWriter json, int choice, bool withUsage)
        => WriteChunk(json, choice, WriteRole, finishReason: null, withUsage);

    /// <summary>Writes a part of a stream. Where the stream will tell its usage, each part says null for it.</summary>
    public void WriteNews(Utf8JsonWriter json, ChoiceNews news, bool withUsage)
        => WriteChunk(json, news.Index, json => WriteDelta(json, news), news.FinishReason, withUsage);

    /// <summary>Writes the part before [DONE] that tells the usage.</summary>
    public void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteStartObject();
        head.WriteTo(json, ChunkKind);
        json.WriteStartArray("choices");
        json.WriteEndArray();
        usage.WriteTo(json);
        json.WriteEndObject();
    }

    /// <summary>Writes what a choice says, whole.</summary>
    protected abstract void WriteChoice(Utf8JsonWriter json, Choice choice);

    /// <summary>How the API calls an end.</summary>
    public static string NameOf(FinishReason reason) => reason == FinishReason.Stop ? "stop" : "length";

    /// <summary>Writes what is new of it.</summary>
    protected abstract void WriteDelta(Utf8JsonWriter json, ChoiceNews news);

    /// <summary>Writes who speaks, where there is such a part.</summary>
    protected virtual void WriteRole(Utf8JsonWriter json)
    {
    }

    private void WriteChunk(Utf8JsonWriter json, int choice, Action<Utf8JsonWriter> writeDelta, FinishReason? finishReason, bool withUsage)
    {
        json.WriteStartObject();
        head.WriteTo(json, ChunkKind);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", choice);
        writeDelta(json);
        WriteFinishReason(json, finishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        if (withUsage)
        {
            json.WriteNull("usage");
        }

        json.WriteEndObject();
    }

    // Always there, null before the end: typed clients fail where it is missing or empty.
    private static void WriteFinishReason(Utf8JsonWriter json, FinishReason? reason)
    {
        if (reason is { } end)
        {
            json.WriteString("finish_reason", NameOf(end));
        }
        else
        {
            json.WriteNull("finish_reason");
        }
    }
}
