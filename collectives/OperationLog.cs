using System.Diagnostics;
using System.Text.Json;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <summary>
/// Counts the operations of one rank and, where it has a file, keeps each for a trace in Chrome's format (chrome://tracing, Perfetto). Times
/// are the machine's, so the traces of ranks of one host lie on one axis. Not synchronised; its owner is.
/// </summary>
internal sealed class OperationLog : IDisposable
{
    // 40 MB; a token takes some 50 operations. What comes later is counted and not kept.
    private const int MaxEntryCount = 1 << 20;

    private readonly OperationStatistics[] _totals = new OperationStatistics[Enum.GetValues<Operation>().Length + 1]; // [operation], and Receive
    private readonly List<Entry> _entries = [];
    private readonly FileStream? _file;
    private long _lostCount;

    /// <param name="traceFile">Where the trace goes when the log is disposed; <see langword="null"/> for nowhere.</param>
    /// <exception cref="RendezvousConnectionException">The file cannot be written.</exception>
    public OperationLog(string? traceFile = null)
    {
        try
        {
            _file = traceFile is null ? null : new FileStream(traceFile, FileMode.Create, FileAccess.Write);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new RendezvousConnectionException($"The trace {traceFile} cannot be written ({exception.Message.TrimEnd('.')}); name a file in a folder that exists.", exception);
        }
    }

    /// <summary>What has been counted.</summary>
    public IReadOnlyList<OperationStatistics> Totals => [.. _totals.Where(total => total.Count > 0)];

    /// <summary>Adds an operation that has ended.</summary>
    /// <param name="name">The method.</param>
    /// <param name="operation">Its name on the wire.</param>
    /// <param name="tag">Its tag.</param>
    /// <param name="byteCount">Of its arguments.</param>
    /// <param name="started">Timestamp.</param>
    /// <param name="ended">Timestamp.</param>
    public void Add(string name, Operation operation, uint tag, long byteCount, long started, long ended)
    {
        // Send and Receive are one operation on the wire.
        ref var total = ref _totals[operation == Operation.Send && name == nameof(ProcessGroup.Receive) ? _totals.Length - 1 : (int)operation];
        total = new OperationStatistics(name, total.Count + 1, total.ByteCount + byteCount, total.Elapsed + Stopwatch.GetElapsedTime(started, ended));
        if (_file is null)
        {
            return;
        }

        if (_entries.Count < MaxEntryCount)
        {
            _entries.Add(new Entry(name, tag, byteCount, started, ended));
        }
        else
        {
            _lostCount++;
        }
    }

    /// <summary>Writes the trace.</summary>
    /// <param name="rank">Whose it is.</param>
    public void Write(int rank)
    {
        if (_file is null)
        {
            return;
        }

        using var json = new Utf8JsonWriter(_file);
        json.WriteStartObject();
        json.WriteStartArray("traceEvents");
        foreach (var entry in _entries)
        {
            json.WriteStartObject();
            json.WriteString("name", entry.Name);
            json.WriteString("ph", "X");
            json.WriteNumber("ts", Stopwatch.GetElapsedTime(0, entry.Started).TotalMicroseconds);
            json.WriteNumber("dur", Stopwatch.GetElapsedTime(entry.Started, entry.Ended).TotalMicroseconds);
            json.WriteNumber("pid", rank);
            json.WriteNumber("tid", 0);
            json.WriteStartObject("args");
            json.WriteNumber("tag", entry.Tag);
            json.WriteNumber("bytes", entry.ByteCount);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("displayTimeUnit", "ns");
        json.WriteStartObject("otherData");
        json.WriteNumber("operations that did not fit", _lostCount);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    private readonly record struct Entry(string Name, uint Tag, long ByteCount, long Started, long Ended);
}
