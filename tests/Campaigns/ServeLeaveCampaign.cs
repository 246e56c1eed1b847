using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Distributed.Campaigns;

/// <summary>
/// Clients that leave at a random moment, eight at once: within their request, while it waits, in the prompt, in the middle of the answer; some say goodbye, some
/// reset the connection. Their slots have to be free soon, and nothing may be left of them.
/// </summary>
internal static class ServeLeaveCampaign
{
    private const int ClientCount = 8;
    private static readonly TimeSpan FreeLimit = TimeSpan.FromMilliseconds(100); // and a step, which takes a few here

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        using var served = await ServerRun.StartAsync(options.Arguments);
        var longest = (await MeasureAsync(served)) * 1.1;
        Console.WriteLine(options.Describe(longest));
        var free = new Statistics("slots free");
        var (left, late, lost) = (0, 0, 0);
        (long Memory, int Files) before = default;
        while (left < options.Count && !served.Launch.HasEnded)
        {
            if (before == default && left >= options.Count / 5)
            {
                before = served.Held(); // by now the server is warm
            }

            var moment = longest * random.NextDouble();
            var clients = await Task.WhenAll(Enumerable.Range(0, ClientCount).Select(_ => BeginAsync(served.Address, random.Next(), random.Next(20) == 0)));
            await Task.Delay(moment);
            var start = Stopwatch.GetTimestamp();
            foreach (var client in clients)
            {
                Leave(client, random.Next(2) == 0);
            }

            left += ClientCount;
            var idle = await served.UntilIdleAsync(ServerRun.Limit);
            var took = Stopwatch.GetElapsedTime(start);
            free.Add(took);
            late += took > FreeLimit ? 1 : 0;
            if (idle is null || idle["token_usage"] != 0)
            {
                lost++;
                Console.WriteLine($"after {left} clients: {(idle is null ? "requests are left" : "blocks are held that nobody uses")}");
            }
        }

        if (served.Launch.HasEnded)
        {
            Console.WriteLine($"The server has ended:\n{served.Launch.ErrorSoFar}");
            return 1;
        }

        var last = await served.MetricsAsync();
        var isEven = last["requests_accepted_total"] == last["requests_finished_total"] + last["requests_cancelled_total"];
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{left} clients left: {last["requests_cancelled_total"]} requests given up, {last["requests_finished_total"]} had ended, {(isEven ? "none is missing" : "SOME ARE MISSING")}; {late} of {left / ClientCount} times the slots were free later than after {FreeLimit.TotalMilliseconds} ms"));
        Console.WriteLine(free);
        return served.CompareHeld(before) && lost == 0 && isEven ? 0 : 1;
    }

    private static async Task<TimeSpan> MeasureAsync(ServerRun served)
    {
        var took = TimeSpan.Zero;
        for (var round = 0; round < 3; round++) // the last one on a warm server
        {
            var start = Stopwatch.GetTimestamp();
            await Task.WhenAll(Enumerable.Range(0, ClientCount).Select(seed => StreamedAnswer.ReadAsync(served.Client, StreamedAnswer.Body(seed, CampaignOptions.TokenCount))));
            took = Stopwatch.GetElapsedTime(start);
        }

        return took;
    }

    // Sends a request, or half of one.
    private static async Task<Socket> BeginAsync(Uri address, int seed, bool half)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(address.Host, address.Port);
        var body = StreamedAnswer.Body(seed, CampaignOptions.TokenCount);
        var request = Encoding.ASCII.GetBytes(
            $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await socket.SendAsync(request.AsMemory(0, half ? new Random(seed).Next(1, request.Length) : request.Length));
        return socket;
    }

    private static void Leave(Socket socket, bool withReset)
    {
        if (withReset)
        {
            socket.LingerState = new LingerOption(true, 0);
        }

        socket.Dispose();
    }
}
