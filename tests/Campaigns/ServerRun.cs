using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Distributed.Campaigns;

/// <summary>A server under test, and what can be seen of it from outside.</summary>
internal sealed partial class ServerRun : IDisposable
{
    /// <summary>The longest that anything may take here.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private const long HeapMovement = 16 << 20;
    private const int FewFiles = 16; // connections that the server has not closed yet

    private ServerRun(Launch launch, HttpClient client) => (Launch, Client) = (launch, client);

    /// <summary>Its processes.</summary>
    public Launch Launch { get; }

    /// <summary>Sends to it.</summary>
    public HttpClient Client { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address => Client.BaseAddress!;

    /// <summary>Starts one and waits until it serves.</summary>
    /// <exception cref="TimeoutException">It does not.</exception>
    public static async Task<ServerRun> StartAsync(IReadOnlyList<string> arguments)
    {
        var launch = new Launch(arguments);
        try
        {
            for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < Limit && !launch.HasEnded; await Task.Delay(20))
            {
                if (Serving().Match(launch.ErrorSoFar) is { Success: true } match)
                {
                    var handler = new SocketsHttpHandler { MaxConnectionsPerServer = int.MaxValue };
                    return new ServerRun(launch, new HttpClient(handler) { BaseAddress = new Uri(match.Groups[1].Value), Timeout = Limit });
                }
            }

            throw new TimeoutException($"The server does not serve:\n{launch.ErrorSoFar}");
        }
        catch
        {
            launch.Dispose();
            throw;
        }
    }

    /// <summary>Whether it says that requests would be answered.</summary>
    public async Task<bool> IsReadyAsync()
    {
        try
        {
            using var response = await Client.GetAsync(new Uri("/readyz", UriKind.Relative));
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    /// <summary>Its figures, by their names in <c>/metrics</c> without the prefix.</summary>
    public async Task<Dictionary<string, double>> MetricsAsync()
    {
        var text = await Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        return Metric().Matches(text).ToDictionary(match => match.Groups[1].Value, match => double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    /// <summary>Waits until no request is left.</summary>
    /// <returns>The figures then; <see langword="null"/> where that does not come about.</returns>
    public async Task<Dictionary<string, double>?> UntilIdleAsync(TimeSpan limit)
    {
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < limit; await Task.Delay(1))
        {
            var now = await MetricsAsync();
            if (now["requests_processing"] == 0 && now["requests_deferred"] == 0)
            {
                return now;
            }
        }

        return null;
    }

    /// <summary>What rank 0 holds: resident bytes, and open files.</summary>
    public (long Memory, int Files) Held()
    {
        var process = Launch.Ranks()[0];
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return (long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10, Directory.GetFiles($"/proc/{process}/fd").Length);
    }

    /// <summary>Says what rank 0 holds now beside what it held before, on a warm server; whether it has not grown by more than a tenth and what a heap moves by.</summary>
    public bool CompareHeld((long Memory, int Files) before)
    {
        var now = Held();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"memory {before.Memory >> 20} MiB after a fifth, {now.Memory >> 20} MiB at the end; open files {before.Files}, {now.Files}"));
        return now.Memory <= (before.Memory * 11 / 10) + HeapMovement && now.Files <= before.Files + FewFiles;
    }

    public void Dispose()
    {
        Client.Dispose();
        Launch.Dispose();
    }

    [GeneratedRegex("Serving .* at (http://[^/]+)/v1")]
    private static partial Regex Serving();

    [GeneratedRegex(@"^distributed_(\w+) (\S+)$", RegexOptions.Multiline)]
    private static partial Regex Metric();
}
