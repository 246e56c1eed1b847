using System.Diagnostics;
using System.Globalization;

namespace Distributed.Campaigns;

/// <summary>SIGTERM to distrun at a random moment while eight streams run: each has to end with <c>[DONE]</c> or with an error event, and then all ranks.</summary>
internal static class ServeDrainCampaign
{
    private const int StreamCount = 8;
    private const int Terminated = 128 + 15;
    private static readonly TimeSpan UnreadyLimit = TimeSpan.FromSeconds(1);

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        var window = TimeSpan.FromSeconds(1.5);
        string[] arguments = [.. options.Arguments, "--drain-timeout", "1"];
        Console.WriteLine(options.Describe(window));
        var (ended, unready) = (new Statistics("distrun ended"), new Statistics("not ready"));
        var (misses, done, cut, refused) = (0, 0, 0, 0);
        for (var run = 1; run <= options.Count; run++)
        {
            using var served = await ServerRun.StartAsync(arguments);
            var streams = Enumerable.Range(0, StreamCount).Select(seed => AgainAndAgainAsync(served, seed)).ToArray();
            await Task.Delay(window * random.NextDouble());
            var start = Stopwatch.GetTimestamp();
            Launch.Terminate(served.Launch.Id);
            while (await served.IsReadyAsync() && Stopwatch.GetElapsedTime(start) < ServerRun.Limit)
            {
                await Task.Delay(1);
            }

            var closed = Stopwatch.GetElapsedTime(start);
            unready.Add(closed);
            var end = await Task.Run(() => served.Launch.WaitForEnd(ServerRun.Limit));
            ended.Add(Stopwatch.GetElapsedTime(start));
            var answers = (await Task.WhenAll(streams)).SelectMany(all => all).ToArray();
            done += answers.Count(answer => answer.IsDone);
            cut += answers.Count(answer => answer is { IsDone: false, HasError: true, Status: 200 });
            refused += answers.Count(answer => answer.Status is 503 or 0);
            var lost = answers.Where(answer => answer.Status == 200 && !answer.IsDone && !answer.HasError).ToArray();
            if (lost.Length > 0 || closed > UnreadyLimit || end is not { ExitCode: Terminated } || served.Launch.Others().Length > 0)
            {
                misses++;
                Console.WriteLine($"run {run}: {lost.Length} streams without an end ({string.Join("; ", lost.Select(answer => answer.Last))}), exit code {end?.ExitCode}, ready for {closed.TotalMilliseconds:0} ms");
            }
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{options.Count} ends under {StreamCount} streams, {misses} misses; {done} answers complete, {cut} ended with an error event, {refused} refused before they began"));
        Console.WriteLine(unready);
        Console.WriteLine(ended);
        return misses == 0 ? 0 : 1;
    }

    // One answer after the other, of some 50 to 400 tokens, until the server takes no more.
    private static async Task<List<StreamedAnswer>> AgainAndAgainAsync(ServerRun served, int seed)
    {
        var answers = new List<StreamedAnswer>();
        do
        {
            answers.Add(await StreamedAnswer.ReadAsync(served.Client, StreamedAnswer.Body(seed, 50 * (1 + ((seed + answers.Count) % 8)))));
        }
        while (answers[^1].IsDone);

        return answers;
    }
}
