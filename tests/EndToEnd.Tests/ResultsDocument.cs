using System.Text.Json;

namespace Distributed.EndToEnd.Tests;

/// <summary>What <c>--format json</c> prints, as strict as a consumer could be: every member has to be there, and no other.</summary>
internal sealed record ResultsDocument(int WorldSize, IReadOnlyList<ResultsDocument.Result> Results, ResultsDocument.Statistics Stats)
{
    private static readonly JsonSerializerOptions Strict = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
    };

    /// <summary>Reads a standard output that holds one document, a line feed, and nothing else.</summary>
    public static ResultsDocument Parse(LaunchResult launch)
    {
        Assert.True(launch.ExitCode == 0, $"exit code {launch.ExitCode}: {launch.Error}");
        Assert.Equal(launch.Output.Length - 1, launch.Output.IndexOf('\n', StringComparison.Ordinal));
        return JsonSerializer.Deserialize<ResultsDocument>(launch.Output, Strict)!;
    }

    /// <summary>The bytes of <c>results</c>, which are to be the same for every number of ranks and batch size.</summary>
    public static string ResultsText(LaunchResult launch)
    {
        Assert.True(launch.ExitCode == 0, $"exit code {launch.ExitCode}: {launch.Error}");
        using var document = JsonDocument.Parse(launch.Output);
        return document.RootElement.GetProperty("results").GetRawText();
    }

    /// <param name="Prompt">Of <c>complete</c>.</param>
    /// <param name="Dialog">Of <c>chat</c>.</param>
    /// <param name="PromptTokens">What entered the model.</param>
    /// <param name="Tokens">With echo, the prompt's first.</param>
    /// <param name="TokenStrings">[token], what each adds to the text.</param>
    /// <param name="Logprobs">[token], or <see langword="null"/>.</param>
    /// <param name="Generation">A text, or for <c>chat</c> a message.</param>
    /// <param name="FinishReason">stop or length.</param>
    internal sealed record Result(
        int[] PromptTokens,
        int[] Tokens,
        string[] TokenStrings,
        float[]? Logprobs,
        JsonElement Generation,
        string FinishReason,
        string? Prompt = null,
        Message[]? Dialog = null)
    {
        /// <summary>The generated text.</summary>
        public string Text => Generation.ValueKind == JsonValueKind.String
            ? Generation.GetString()!
            : Generation.GetProperty("content").GetString()!;
    }

    internal sealed record Message(string Role, string Content);

    /// <param name="LoadSeconds">From the start of rank 0 to the model's readiness.</param>
    /// <param name="PrefillTokensPerSecond">Prompt tokens.</param>
    /// <param name="DecodeTokensPerSecond">New tokens.</param>
    /// <param name="PeakRssBytes">[rank].</param>
    internal sealed record Statistics(double LoadSeconds, double PrefillTokensPerSecond, double DecodeTokensPerSecond, long[] PeakRssBytes);
}
