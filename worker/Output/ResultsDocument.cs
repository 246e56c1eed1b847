using System.Text.Json;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Output;

/// <summary>
/// The document of <c>--format json</c>. Its <c>results</c> are the same bytes for any number of ranks and any batch size.
/// </summary>
internal static class ResultsDocument
{
    /// <summary>Writes the document and a line feed.</summary>
    /// <param name="stream">Standard output.</param>
    /// <param name="rows">The prompt of each row, as text or as a dialog, with its result.</param>
    /// <param name="figures">What the run has cost.</param>
    public static void Write(Stream stream, IReadOnlyList<(RowInput Input, GenerationResult Result)> rows, RunFigures figures)
    {
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteNumber("world_size", figures.PeakResidentByteCounts.Count);
            json.WriteStartArray("results");
            foreach (var (input, result) in rows)
            {
                WriteResult(json, input, result);
            }

            json.WriteEndArray();
            WriteStatistics(json, figures);
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
        stream.Flush();
    }

    private static void WriteResult(Utf8JsonWriter json, RowInput input, GenerationResult result)
    {
        json.WriteStartObject();
        input.WriteTo(json);
        WriteTokens(json, "prompt_tokens", result.PromptTokens);
        WriteTokens(json, "tokens", result.Tokens);
        json.WriteStartArray("token_strings");
        foreach (var text in result.TokenStrings)
        {
            json.WritePlainValue(text);
        }

        json.WriteEndArray();
        if (result.LogProbabilities is { } logProbabilities)
        {
            json.WriteStartArray("logprobs");
            foreach (var logProbability in logProbabilities)
            {
                json.WriteNumberValue(logProbability); // the fewest digits that give the same float back
            }

            json.WriteEndArray();
        }
        else
        {
            json.WriteNull("logprobs");
        }

        input.WriteGeneration(json, result.Text);
        json.WriteString("finish_reason", result.FinishReason == FinishReason.Stop ? "stop" : "length");
        json.WriteEndObject();
    }

    private static void WriteTokens(Utf8JsonWriter json, string name, IReadOnlyList<int> tokens)
    {
        json.WriteStartArray(name);
        foreach (var token in tokens)
        {
            json.WriteNumberValue(token);
        }

        json.WriteEndArray();
    }

    private static void WriteStatistics(Utf8JsonWriter json, RunFigures figures)
    {
        json.WriteStartObject("stats");
        json.WriteNumber("load_seconds", figures.LoadTime.TotalSeconds);
        json.WriteNumber("prefill_tokens_per_second", figures.Generation.PrefillTokensPerSecond);
        json.WriteNumber("decode_tokens_per_second", figures.Generation.DecodeTokensPerSecond);
        json.WriteStartArray("peak_rss_bytes");
        foreach (var bytes in figures.PeakResidentByteCounts)
        {
            json.WriteNumberValue(bytes);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
