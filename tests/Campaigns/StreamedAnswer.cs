using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Campaigns;

/// <summary>A streamed completion as its client has seen it.</summary>
/// <param name="Text">All of it.</param>
/// <param name="Status">Of the response; 0 where there was none.</param>
/// <param name="IsDone">Whether it ended with <c>[DONE]</c>.</param>
/// <param name="HasError">Whether it ended with an error event.</param>
/// <param name="LongestSilence">Between two events.</param>
/// <param name="Last">The last line, and what broke the stream.</param>
internal sealed record StreamedAnswer(string Text, int Status, bool IsDone, bool HasError, TimeSpan LongestSilence, string Last)
{
    /// <summary>The body of a request whose text does not end by itself: the token that would is made impossible.</summary>
    /// <param name="seed">Of the text.</param>
    /// <param name="tokenCount">Its length.</param>
    public static string Body(int seed, int tokenCount) => string.Create(
        CultureInfo.InvariantCulture,
        $$$"""{"prompt":"Once upon a time","max_tokens":{{{tokenCount}}},"temperature":1,"seed":{{{seed}}},"stream":true,"logit_bias":{"2":-100}}""");

    /// <summary>Asks, and reads to the end.</summary>
    public static async Task<StreamedAnswer> ReadAsync(HttpClient client, string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
            Version = System.Net.HttpVersion.Version11,
        };
        var text = new StringBuilder();
        var (status, last, isDone, hasError, longest) = (0, "", false, false, TimeSpan.Zero);
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            status = (int)response.StatusCode;
            using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
            var before = Stopwatch.GetTimestamp();
            while (await lines.ReadLineAsync() is { } line)
            {
                if (line.Length == 0 || line[0] == ':')
                {
                    continue; // a comment, which keeps the connection
                }

                longest = longest > Stopwatch.GetElapsedTime(before) ? longest : Stopwatch.GetElapsedTime(before);
                before = Stopwatch.GetTimestamp();
                last = line;
                if (line == "data: [DONE]")
                {
                    isDone = true;
                    continue;
                }

                using var json = JsonDocument.Parse(line.StartsWith("data: ", StringComparison.Ordinal) ? line["data: ".Length..] : line);
                if (json.RootElement.TryGetProperty("error", out _))
                {
                    hasError = true;
                    continue;
                }

                text.Append(json.RootElement.GetProperty("choices")[0].GetProperty("text").GetString());
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException or KeyNotFoundException or OperationCanceledException)
        {
            last = $"{last} {exception.Message}";
        }

        return new StreamedAnswer(text.ToString(), status, isDone, hasError, longest, last);
    }
}
