using System.Text.Json;

namespace Distributed.Launcher.Tests.Reporting;

/// <summary>Events, of real jobs.</summary>
public sealed class JobEventsTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    // Lines 46, 114 and 115.
    [UnixFact]
    public async Task Job_Fails_EventsSayWhoFailedAndWhoWasStopped()
    {
        var result = await _distrun.Run(
            "--nproc-per-node", "3", "--rdzv-id", "run7", "--role", "trainer", "--event-log", "events", "sh", "-c", "case $RANK in 0) exit 0;; 1) sleep 0.3; exit 3;; *) exec sleep 300;; esac");
        Assert.Equal(3, result.ExitCode);
        var events = Read();
        Assert.Equal(
            ["distrun.group.STARTED", "torchelastic.worker.status.SUCCEEDED", "torchelastic.worker.status.FAILED", "torchelastic.worker.status.TERMINATED", "torchelastic.worker.status.FAILED"],
            events.Select(one => one.GetProperty("name").GetString()));
        Assert.Equal(["AGENT", "WORKER", "WORKER", "WORKER", "AGENT"], events.Select(one => one.GetProperty("source").GetString()));
        var failed = events[2].GetProperty("metadata");
        Assert.Equal(("run7", 1, 0, "trainer", "FAILED", "static", 0), (
            failed.GetProperty("run_id").GetString(), failed.GetProperty("global_rank").GetInt32(), failed.GetProperty("group_rank").GetInt32(),
            failed.GetProperty("role").GetString(), failed.GetProperty("state").GetString(), failed.GetProperty("rdzv_backend").GetString(),
            failed.GetProperty("agent_restarts").GetInt32()));
        Assert.Matches(@"^pid \d+, exitcode 3$", failed.GetProperty("raw_error").GetString());
        Assert.Equal(System.Net.Dns.GetHostName(), failed.GetProperty("hostname").GetString());
        Assert.InRange(failed.GetProperty("duration_ms").GetInt64(), 300, 30_000);
        Assert.Equal([0, 0, 1, 0], Counters(events[^1]));
    }

    // Line 114.
    [UnixTheory]
    [InlineData("exit 0", 0, new[] { 1, 0, 0, 0 })]
    [InlineData("exit $((1 - TORCHELASTIC_RESTART_COUNT))", 1, new[] { 0, 1, 0, 0 })]
    [InlineData("exit 1", 1, new[] { 0, 0, 0, 1 })]
    public async Task Job_Ends_ExactlyOneCounterIsOne(string program, int restarts, int[] counters)
    {
        await _distrun.Run("--event-log", "events", "--max-restarts", "1", "--min-uptime", "0", "--restart-backoff", "0", "sh", "-c", program);
        var events = Read();
        Assert.Equal(counters, Counters(events[^1]));
        Assert.Equal(restarts, events[^1].GetProperty("metadata").GetProperty("agent_restarts").GetInt32());
        Assert.Equal(restarts, events.Count(one => one.GetProperty("name").GetString() == "distrun.group.RESTARTING"));
    }

    [UnixFact]
    public async Task Nodes_NeverComeTogether_EventSaysSoAndNoGroupRank()
    {
        var result = await _distrun.Run(
            "--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", $"127.0.0.1:{Rendezvous.NodeRendezvousTests.FreePort()}", "--rdzv-conf", "join_timeout=0.5", "--event-log", "events", "true");
        Assert.Equal(75, result.ExitCode);
        var one = Assert.Single(Read());
        Assert.Equal(("torchelastic.worker.status.FAILED", "AGENT"), (one.GetProperty("name").GetString(), one.GetProperty("source").GetString()));
        var metadata = one.GetProperty("metadata");
        Assert.Equal(JsonValueKind.Null, metadata.GetProperty("group_rank").ValueKind);
        Assert.Contains("1 of 2", metadata.GetProperty("raw_error").GetString(), StringComparison.Ordinal);
        Assert.Equal([0, 0, 1, 0], Counters(one));
    }

    [UnixFact]
    public async Task EventLogHandler_Console_WritesToStderr()
    {
        var result = await _distrun.Run("--event-log-handler", "console", "echo", "x");
        Assert.Equal("x\n", result.Output);
        Assert.Equal(3, result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement.GetProperty("name").GetString()).Count());
    }

    [UnixFact]
    public async Task EventLog_ThatCannotBeWritten_IsSaidAndNothingIsStarted()
    {
        var result = await _distrun.Run("--event-log", "absent/events", "echo", "x");
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Matches(@"^distrun: --event-log absent/events cannot be written \(.*\); name another file\.\n$", result.Error);
        await _distrun.AssertNothingIsLeft();
    }

    private static int[] Counters(JsonElement one)
        => [.. new[] { "run_success_no_retries", "run_success_with_retries", "run_failed_no_retries", "run_failed_with_retries" }
            .Select(name => one.GetProperty("metadata").GetProperty(name).GetInt32())];

    private JsonElement[] Read() => [.. File.ReadLines(_distrun.Files["events"]).Select(line => JsonDocument.Parse(line).RootElement)];
}
