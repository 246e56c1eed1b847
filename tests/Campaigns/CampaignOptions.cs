using System.Globalization;

namespace Distributed.Campaigns;

/// <summary>Which campaign, and how much of it.</summary>
/// <param name="Campaign">Its name.</param>
/// <param name="Count">Runs that count; inputs; clients; seconds.</param>
/// <param name="Ranks">Ranks a run, for the default program.</param>
/// <param name="Seed">Of the moments and of the choice of the rank; printed, so that a run can be repeated.</param>
/// <param name="Arguments">[argument] of distrun; by default the bundled worker on the demo checkpoint.</param>
internal sealed record CampaignOptions(string Campaign, int Count, int Ranks, int Seed, IReadOnlyList<string> Arguments)
{
    public const string KillRank = "kill-rank";
    public const string KillLauncher = "kill-launcher";
    public const string StopRank = "stop-rank";
    public const string ServeKill = "serve-kill";
    public const string ServeStop = "serve-stop";
    public const string ServeDrain = "serve-drain";
    public const string ServeLeave = "serve-leave";
    public const string ServeOverload = "serve-overload";
    public const string ServeBodies = "serve-bodies";
    public const string ServeBytes = "serve-bytes";

    /// <summary>The length of a long answer of a server; the context has 512.</summary>
    public const int TokenCount = 400;

    private const string Usage = """
        Usage: Campaigns kill-rank      [--count 200]     [--ranks 2] [--seed S] [-- arguments of distrun]
               Campaigns kill-launcher  [--count 100]     [--ranks 2] [--seed S] [-- arguments of distrun]
               Campaigns stop-rank      [--count 50]      [--ranks 2] [--seed S] [-- arguments of distrun]
               Campaigns serve-kill     [--count 50]      [--ranks 2] [--seed S]
               Campaigns serve-stop     [--count 50]      [--ranks 2] [--seed S]
               Campaigns serve-drain    [--count 100]     [--ranks 2] [--seed S]
               Campaigns serve-leave    [--count 10000]   [--ranks 2] [--seed S]
               Campaigns serve-overload [--count 600]     [--ranks 2] [--seed S]
               Campaigns serve-bodies   [--count 1000000] [--ranks 2] [--seed S]
               Campaigns serve-bytes    [--count 20000]   [--ranks 2] [--seed S]

        kill-rank       kills a random rank at a random moment: the report has to name it, the others have to be gone within 1 s,
                        the exit code has to be 137, and no process may be left.
        kill-launcher   kills distrun at a random moment: no process may be alive after 2 s.
        stop-rank       stops a random rank at a random moment (SIGSTOP): distrun has to name it within 5 s, and the job has to succeed
                        once it goes on.
        serve-kill      kills a random rank but 0 of a server at a random moment, while eight streams run: each has to go on with the text that
                        it has without the kill.
        serve-stop      stops one likewise (SIGSTOP): /readyz has to say no within 1 s, and each stream to go on
                        once the rank does, or, every other time, once it is replaced.
        serve-drain     ends a server (SIGTERM) at a random moment under eight streams: each has to end with [DONE] or an error event, and
                        /readyz to say no within 1 s.
        serve-leave     clients that leave at a random moment, eight at once: their slots have to be free within 100 ms, nothing of them left.
        serve-overload  for so many seconds five times as many clients as there is room for: what is accepted has to be answered, memory to
                        stay as it was.
        serve-bodies    bodies of requests changed at random: answers are 2xx and 4xx, and the server is as before.
        serve-bytes     bytes that are hardly a request, likewise.

        Without arguments of its own, distrun runs the bundled worker on the demo checkpoint.
        """;

    private static readonly Dictionary<string, int> DefaultCounts = new()
    {
        [KillRank] = 200,
        [KillLauncher] = 100,
        [StopRank] = 50,
        [ServeKill] = 50,
        [ServeStop] = 50,
        [ServeDrain] = 100,
        [ServeLeave] = 10_000,
        [ServeOverload] = 600,
        [ServeBodies] = 1_000_000,
        [ServeBytes] = 20_000,
    };

    /// <summary>The first line of the output.</summary>
    public string Describe(TimeSpan window) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Campaign}: {Count} runs, seed {Seed}, hit within {window.TotalSeconds:0.0} s: distrun {string.Join(' ', Arguments)}");

    /// <summary>Reads the command line; <see langword="null"/> after the usage has been printed.</summary>
    public static CampaignOptions? Read(IReadOnlyList<string> arguments, TextWriter errors)
    {
        var separator = arguments.ToList().IndexOf("--");
        var own = separator < 0 ? arguments : [.. arguments.Take(separator)];
        if (own.Count % 2 == 1 && DefaultCounts.TryGetValue(own[0], out var defaultCount))
        {
            var numbers = new Dictionary<string, int> { ["--count"] = defaultCount, ["--ranks"] = 2, ["--seed"] = Random.Shared.Next() };
            var isServer = own[0].StartsWith("serve-", StringComparison.Ordinal);
            var isRead = !isServer || separator < 0;
            for (var index = 1; index < own.Count; index += 2)
            {
                isRead &= numbers.ContainsKey(own[index])
                    && int.TryParse(own[index + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
                    && (numbers[own[index]] = number) > 0;
            }

            if (isRead)
            {
                var ranks = numbers["--ranks"];
                string[] launch = isServer ? Server(ranks) : separator >= 0 ? [.. arguments.Skip(separator + 1)] : Demo(ranks);
                return new CampaignOptions(own[0], numbers["--count"], ranks, numbers["--seed"], launch);
            }
        }

        errors.WriteLine(Usage);
        return null;
    }

    private static string[] Server(int ranks) =>
    [
        "--nproc-per-node", ranks.ToString(CultureInfo.InvariantCulture), "--max-restarts", "1000000", "--min-uptime", "0", "--restart-backoff", "0",
        "worker", "serve", "--config", "configs/demo.json", "--port", "0", "--max-batch-size", "8", "--max-seq-len", "512",
    ];

    private static string[] Demo(int ranks)
        => ["--nproc-per-node", ranks.ToString(CultureInfo.InvariantCulture), "worker", "complete", "--config", "configs/demo.json"];
}
