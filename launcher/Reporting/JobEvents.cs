using System.Diagnostics;
using System.Text.Json;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Reporting;

/// <summary>
/// What happens to the job, as lines of JSON for other programs: torchrun's events (torch/distributed/elastic/events/api.py) with their names
/// and fields, on stderr or in a file.
/// </summary>
/// <remarks>
/// A rank has one event, its end; the launcher has one, the job's, with torchrun's four counters of runs, exactly one of which is 1. Starts and
/// restarts of the group have events of their own, whose names begin with <c>distrun.</c>
/// </remarks>
internal sealed class JobEvents : IDisposable
{
    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly string _host;
    private readonly FileStream? _file;
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <param name="options">Where events go, and what they say of the job.</param>
    /// <param name="console">The launcher's own streams.</param>
    /// <param name="host">The name of this machine.</param>
    /// <exception cref="JobDirectoryException">The file cannot be written.</exception>
    public JobEvents(LaunchOptions options, ConsoleOutput console, string host)
    {
        _options = options;
        _console = console;
        _host = host;
        if (options.Logs.EventFile is { } path)
        {
            try
            {
                _file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                throw new JobDirectoryException($"--event-log {path} cannot be written ({exception.Message}); name another file.");
            }
        }
    }

    private bool IsOn => _file is not null || _options.Logs.EventsOnConsole;

    /// <summary>The ranks of an attempt have been started.</summary>
    public void GroupStarted(AttemptPlan plan) => Write("distrun.group.STARTED", "AGENT", plan.Placement.GroupRank, plan.RestartCount, json =>
    {
        json.WriteString("state", "STARTED");
        json.WriteNumber("first_global_rank", plan.Placement.FirstRank);
        json.WriteNumber("local_world_size", plan.Placement.LocalWorldSize);
        json.WriteNumber("world_size", plan.Placement.WorldSize);
    });

    /// <summary>The group is to be started again.</summary>
    public void GroupRestarts(int groupRank, int restartCount, RankExit cause, TimeSpan delay) => Write("distrun.group.RESTARTING", "AGENT", groupRank, restartCount, json =>
    {
        json.WriteString("state", "RESTARTING");
        json.WriteNumber("root_cause_rank", cause.Rank);
        json.WriteString("raw_error", FailureReport.Describe(cause));
        json.WriteNumber("delay_ms", (long)delay.TotalMilliseconds);
    });

    /// <summary>A rank has ended for good in this attempt.</summary>
    /// <param name="plan">Of the attempt.</param>
    /// <param name="exit">Its end.</param>
    /// <param name="isCollateral">Whether the launcher stopped it.</param>
    public void RankEnded(AttemptPlan plan, RankExit exit, bool isCollateral)
    {
        var state = exit.End.IsSuccess ? "SUCCEEDED" : isCollateral ? "TERMINATED" : "FAILED";
        Write($"torchelastic.worker.status.{state}", "WORKER", plan.Placement.GroupRank, plan.RestartCount, json =>
        {
            json.WriteString("state", state);
            json.WriteNumber("global_rank", exit.Rank);
            json.WriteNumber("local_rank", exit.LocalRank);
            json.WriteString("worker_id", exit.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture));
            json.WriteNumber("exit_code", exit.End.TorchCode);
            WriteError(json, state == "FAILED" ? FailureReport.Describe(exit) : null);
        });
    }

    /// <summary>The job has ended on this node.</summary>
    /// <param name="groupRank">This node's place; <see langword="null"/> where it never had one.</param>
    /// <param name="restartCount">Restarts of the group.</param>
    /// <param name="exitCode">Of the launcher.</param>
    /// <param name="error">Why, where it failed.</param>
    public void JobEnded(int? groupRank, int restartCount, int exitCode, string? error)
    {
        var succeeded = exitCode == 0;
        Write($"torchelastic.worker.status.{(succeeded ? "SUCCEEDED" : "FAILED")}", "AGENT", groupRank, restartCount, json =>
        {
            json.WriteString("state", succeeded ? "SUCCEEDED" : "FAILED");
            json.WriteNull("global_rank");
            json.WriteNull("worker_id");
            json.WriteNumber("exit_code", exitCode);
            WriteError(json, error);
            json.WriteNumber("run_success_no_retries", succeeded && restartCount == 0 ? 1 : 0);
            json.WriteNumber("run_success_with_retries", succeeded && restartCount > 0 ? 1 : 0);
            json.WriteNumber("run_failed_no_retries", !succeeded && restartCount == 0 ? 1 : 0);
            json.WriteNumber("run_failed_with_retries", !succeeded && restartCount > 0 ? 1 : 0);
        });
    }

    public void Dispose() => _file?.Dispose();

    private static void WriteError(Utf8JsonWriter json, string? error)
    {
        if (error is null)
        {
            json.WriteNull("raw_error");
        }
        else
        {
            json.WriteString("raw_error", error);
        }
    }

    private void Write(string name, string source, int? groupRank, int restartCount, Action<Utf8JsonWriter> writeState)
    {
        if (!IsOn)
        {
            return;
        }

        var duration = Stopwatch.GetElapsedTime(_start);
        using var line = new MemoryStream();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteString("source", source);
            json.WriteNumber("timestamp", DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
            json.WriteStartObject("metadata");
            json.WriteString("run_id", _options.RunId);
            if (groupRank is { } known)
            {
                json.WriteNumber("group_rank", known);
            }
            else
            {
                json.WriteNull("group_rank");
            }

            json.WriteString("role", _options.Role);
            json.WriteString("hostname", _host);
            json.WriteString("rdzv_backend", BackendName);
            json.WriteNumber("total_run_time", (long)duration.TotalSeconds);
            json.WriteNumber("duration_ms", (long)duration.TotalMilliseconds);
            json.WriteNumber("agent_restarts", restartCount);
            writeState(json);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        line.WriteByte((byte)'\n');
        Write(line.GetBuffer().AsSpan(0, (int)line.Length));
    }

    private string BackendName => _options.Nodes.Backend switch
    {
        RendezvousBackend.C10d => "c10d",
        RendezvousBackend.Etcd => "etcd",
        _ => "static",
    };

    /// <summary>One write a line, so that the lines of several launchers do not mix in one file.</summary>
    private void Write(ReadOnlySpan<byte> line)
    {
        try
        {
            _file?.Write(line);
            if (_options.Logs.EventsOnConsole)
            {
                _console.WriteLines(ConsoleTarget.Error, line);
            }
        }
        catch (IOException)
        {
            // A full disk or a closed stderr is no reason to end the job.
        }
    }
}
