using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Campaigns;

/// <summary>
/// Five times as many clients as the server has room for, each of which asks again and again: what is accepted has to be answered, with the same text each time; what is
/// refused has to be refused at once, with a time after which to come again.
/// </summary>
internal static class ServeOverloadCampaign
{
    private const int Room = 16; // eight slots, eight that wait
    private const int ClientCount = 5 * Room;
    private const int TextCount = 8;
    private const int TokenCount = 100;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50); // of a client that was refused, much shorter than it was asked to wait

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        using var served = await ServerRun.StartAsync([.. options.Arguments, "--max-queue", "8"]);
        var expected = new string[TextCount];
        for (var text = 0; text < TextCount; text++)
        {
            expected[text] = (await AskAsync(served.Client, text)).Text!;
        }

        var length = TimeSpan.FromSeconds(options.Count);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{options.Campaign}: {ClientCount} clients for {length.TotalSeconds} s, room for {Room}: distrun {string.Join(' ', options.Arguments)} --max-queue 8"));
        var (answers, refusals) = (new ConcurrentQueue<TimeSpan>(), new ConcurrentQueue<TimeSpan>());
        var wrong = new ConcurrentQueue<string>();
        var start = Stopwatch.GetTimestamp();
        var clients = Enumerable.Range(0, ClientCount).Select(client => Task.Run(async () =>
        {
            for (var number = client; Stopwatch.GetElapsedTime(start) < length && !served.Launch.HasEnded; number++)
            {
                var began = Stopwatch.GetTimestamp();
                var (status, text, mayRetry) = await AskAsync(served.Client, number % TextCount);
                var took = Stopwatch.GetElapsedTime(began);
                switch (status)
                {
                    case 200 when text == expected[number % TextCount]:
                        answers.Enqueue(took);
                        break;
                    case 503 when mayRetry:
                        refusals.Enqueue(took);
                        await Task.Delay(Pause);
                        break;
                    default:
                        wrong.Enqueue($"client {client}: {status} {text}");
                        break;
                }
            }
        })).ToArray();
        (long Memory, int Files) before = default;
        await Task.WhenAny(Task.WhenAll(clients), Task.Delay(length / 5));
        if (!served.Launch.HasEnded)
        {
            before = served.Held();
        }

        await Task.WhenAll(clients);
        if (served.Launch.HasEnded)
        {
            Console.WriteLine($"The server has ended:\n{served.Launch.ErrorSoFar}");
            return 1;
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{answers.Count} answered, {refusals.Count} refused, {wrong.Count} lost or wrong"));
        foreach (var line in wrong.Take(10))
        {
            Console.WriteLine(line);
        }

        Console.WriteLine(new Statistics("answered", answers));
        Console.WriteLine(new Statistics("refused", refusals));
        return served.CompareHeld(before) && wrong.IsEmpty && !answers.IsEmpty && !refusals.IsEmpty ? 0 : 1;
    }

    private static async Task<(int Status, string? Text, bool MayRetry)> AskAsync(HttpClient client, int seed)
    {
        try
        {
            var body = string.Create(CultureInfo.InvariantCulture, $$"""{"prompt":"Once upon a time","max_tokens":{{TokenCount}},"temperature":1,"seed":{{seed}}}""");
            using var content = new StringContent(body, Encoding.UTF8, "application/json");
            using var response = await client.PostAsync(new Uri("/v1/completions", UriKind.Relative), content);
            using var json = JsonDocument.Parse(await response.Content.ReadAsStreamAsync());
            return ((int)response.StatusCode,
                response.IsSuccessStatusCode ? json.RootElement.GetProperty("choices")[0].GetProperty("text").GetString() : json.RootElement.GetRawText(),
                response.Headers.RetryAfter is not null);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException or OperationCanceledException)
        {
            return (0, exception.Message, false);
        }
    }
}
