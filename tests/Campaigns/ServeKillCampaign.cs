using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Distributed.Campaigns;

/// <summary>
/// kill -9 of a random rank but 0 at a random moment while eight streams run on one server: each has to go on in its connection, with the text that it has
/// without the kill.
/// </summary>
internal static partial class ServeKillCampaign
{
    private const int StreamCount = 8;
    private const int TokenCount = 400;
    private static readonly TimeSpan RunLimit = TimeSpan.FromSeconds(60);

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        using var launch = new Launch(options.Arguments);
        using var client = new HttpClient { BaseAddress = await FindAsync(launch), Timeout = RunLimit };
        var expected = new string[StreamCount];
        await ReadAllAsync(client, (stream, answer) => expected[stream] = answer.Text); // and the server is warm
        var started = Stopwatch.GetTimestamp();
        await ReadAllAsync(client, (_, _) => { });
        var window = Stopwatch.GetElapsedTime(started);
        Console.WriteLine(options.Describe(window));

        var pause = new Statistics("longest silence");
        var unready = new Statistics("not ready");
        var (misses, late, lost) = (0, 0, 0);
        var server = launch.Ranks()[0];
        for (var run = 0; run < options.Count && !launch.HasEnded;)
        {
            var ended = 0;
            var took = TimeSpan.Zero;
            started = Stopwatch.GetTimestamp();
            var wrong = new List<string>();
            var silences = new List<TimeSpan>();
            var reading = ReadAllAsync(client, (stream, answer) =>
            {
                lock (wrong)
                {
                    ended++;
                    took = Stopwatch.GetElapsedTime(started);
                    silences.Add(answer.LongestSilence);
                    if (answer.Text != expected[stream] || !answer.IsDone)
                    {
                        wrong.Add($"stream {stream}: {answer.Text.Length} characters of {expected[stream].Length}, {(answer.IsDone ? "" : "not ")}done: {answer.Last}");
                    }
                }
            });
            await Task.Delay(window * random.NextDouble());
            var victims = launch.Ranks().Where(rank => rank.Key != 0).ToArray();
            bool wasLate;
            lock (wrong)
            {
                wasLate = ended == StreamCount;
            }

            if (wasLate || victims.Length == 0 || !Launch.Kill(victims[random.Next(victims.Length)].Value))
            {
                await reading;
                window = wasLate && took < window ? took : window; // runs get faster while the server's code is compiled
                if (++late > 2 * options.Count)
                {
                    break;
                }

                continue;
            }

            run++;
            unready.Add(await UntilNotReadyAsync(client));
            await reading;
            await UntilReadyAsync(client, launch);
            silences.ForEach(pause.Add);
            lost += wrong.Count;
            if (wrong.Count > 0 || launch.Ranks().GetValueOrDefault(0) != server)
            {
                misses++;
                Console.WriteLine($"run {run}: {string.Join("; ", wrong)}");
            }
        }

        Console.WriteLine($"{options.Count} kills with {StreamCount} streams each, {misses} misses, {lost} streams lost or wrong ({late} further runs had ended before their kill)");
        Console.WriteLine(pause);
        Console.WriteLine(unready);
        if (launch.HasEnded)
        {
            Console.WriteLine($"The server has ended:\n{launch.ErrorSoFar}");
        }

        return misses == 0 && !launch.HasEnded && late <= 2 * options.Count ? 0 : 1;
    }

    private static async Task<Uri> FindAsync(Launch launch)
    {
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < RunLimit && !launch.HasEnded; await Task.Delay(20))
        {
            if (Serving().Match(launch.ErrorSoFar) is { Success: true } match)
            {
                return new Uri(match.Groups[1].Value);
            }
        }

        throw new TimeoutException($"The server does not serve:\n{launch.ErrorSoFar}");
    }

    private static Task ReadAllAsync(HttpClient client, Action<int, Answer> ended)
        => Task.WhenAll(Enumerable.Range(0, StreamCount).Select(async stream => ended(stream, await ReadAsync(client, stream))));

    private static async Task<Answer> ReadAsync(HttpClient client, int seed)
    {
        // Text that does not end by itself: its token is made impossible.
        var body = string.Create(
            CultureInfo.InvariantCulture,
            $$$"""{"prompt":"Once upon a time","max_tokens":{{{TokenCount}}},"temperature":1,"seed":{{{seed}}},"stream":true,"logit_bias":{"2":-100}}""");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
            Version = HttpVersion.Version11,
        };
        var text = new StringBuilder();
        var (last, isDone, longest) = ("", false, TimeSpan.Zero);
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
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
                }
                else
                {
                    using var json = JsonDocument.Parse(line["data: ".Length..]);
                    text.Append(json.RootElement.GetProperty("choices")[0].GetProperty("text").GetString());
                }
            }
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException or KeyNotFoundException or OperationCanceledException)
        {
            last = $"{last} {exception.Message}";
        }

        return new Answer(text.ToString(), isDone, longest, last);
    }

    private static async Task<TimeSpan> UntilNotReadyAsync(HttpClient client)
    {
        var start = Stopwatch.GetTimestamp();
        while (await IsReadyAsync(client) && Stopwatch.GetElapsedTime(start) < RunLimit)
        {
            await Task.Delay(1);
        }

        return Stopwatch.GetElapsedTime(start);
    }

    private static async Task UntilReadyAsync(HttpClient client, Launch launch)
    {
        for (var start = Stopwatch.GetTimestamp(); !launch.HasEnded && Stopwatch.GetElapsedTime(start) < RunLimit && !await IsReadyAsync(client);)
        {
            await Task.Delay(5);
        }
    }

    private static async Task<bool> IsReadyAsync(HttpClient client)
    {
        try
        {
            using var response = await client.GetAsync("/readyz");
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private sealed record Answer(string Text, bool IsDone, TimeSpan LongestSilence, string Last);

    [GeneratedRegex("Serving .* at (http://[^/]+)/v1")]
    private static partial Regex Serving();
}
