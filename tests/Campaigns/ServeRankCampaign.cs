using System.Diagnostics;
using System.Globalization;

namespace Distributed.Campaigns;

/// <summary>
/// kill -9, or SIGSTOP, of a random rank but 0 at a random moment while eight streams run on one server: each has to go on in its connection, with the text that
/// it has without, and the server to be not ready in time. Every other stopped rank goes on then; the rest have to be replaced.
/// </summary>
internal static class ServeRankCampaign
{
    private const int StreamCount = 8;

    // Below the silence after which a rank is given up; what stands still longer than this misses.
    private static readonly TimeSpan UnreadyLimit = TimeSpan.FromSeconds(1);

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        var isStop = options.Campaign == CampaignOptions.ServeStop;
        var what = isStop ? "stop" : "kill";
        var random = new Random(options.Seed);
        using var served = await ServerRun.StartAsync(options.Arguments);
        var (launch, client) = (served.Launch, served.Client);
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

            if (wasLate || victims.Length == 0 || !Hit(victims[random.Next(victims.Length)].Value, out var victim))
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
            var silent = await UntilNotReadyAsync(served);
            unready.Add(silent);
            var goesOn = isStop && run % 2 == 0;
            if (goesOn)
            {
                Launch.Continue(victim);
            }

            await reading;
            await UntilReadyAsync(served);
            silences.ForEach(pause.Add);
            lost += wrong.Count;
            var isLost = launch.Ranks().GetValueOrDefault(0) != server || launch.Ranks().ContainsValue(victim) != goesOn;
            if (wrong.Count > 0 || isLost || (isStop && silent > UnreadyLimit))
            {
                misses++;
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"run {run}: ready for {silent.TotalSeconds:0.00} s after the {what}{(isLost ? "; a rank that was to live has ended, or one that was lost is still there" : "")} {string.Join("; ", wrong)}"));
            }
        }

        Console.WriteLine($"{options.Count} {what}s with {StreamCount} streams each, {misses} misses, {lost} streams lost or wrong ({late} further runs had ended before their {what})");
        Console.WriteLine(pause);
        Console.WriteLine(unready);
        if (launch.HasEnded)
        {
            Console.WriteLine($"The server has ended:\n{launch.ErrorSoFar}");
        }

        return misses == 0 && !launch.HasEnded && late <= 2 * options.Count ? 0 : 1;

        bool Hit(int id, out int victim) => isStop ? Launch.Stop(victim = id) : Launch.Kill(victim = id);
    }

    private static Task ReadAllAsync(HttpClient client, Action<int, StreamedAnswer> ended) => Task.WhenAll(
        Enumerable.Range(0, StreamCount).Select(async stream => ended(stream, await StreamedAnswer.ReadAsync(client, StreamedAnswer.Body(stream, CampaignOptions.TokenCount)))));

    private static async Task<TimeSpan> UntilNotReadyAsync(ServerRun served)
    {
        var start = Stopwatch.GetTimestamp();
        while (await served.IsReadyAsync() && Stopwatch.GetElapsedTime(start) < ServerRun.Limit)
        {
            await Task.Delay(1);
        }

        return Stopwatch.GetElapsedTime(start);
    }

    private static async Task UntilReadyAsync(ServerRun served)
    {
        for (var start = Stopwatch.GetTimestamp(); !served.Launch.HasEnded && Stopwatch.GetElapsedTime(start) < ServerRun.Limit && !await served.IsReadyAsync();)
        {
            await Task.Delay(5);
        }
    }
}
