using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using Distributed.Protos;

namespace Distributed.Collectives.Launching;

/// <summary>A rank's side of its <see cref="ProgressPage"/>. Not safe for use from several threads at once.</summary>
/// <remarks>A change costs a few stores to one cache line and no system call; the page is there for whoever reads it.</remarks>
internal sealed unsafe class ProgressPageWriter : IDisposable
{
    private readonly string _path;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly ProgressPage.Content* _content;

    private ProgressPageWriter(string path, int epoch)
    {
        _path = path;
        _file = MemoryMappedFile.CreateFromFile(
            new FileStream(path, FileMode.Create, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0),
            mapName: null,
            ProgressPage.ByteCount,
            MemoryMappedFileAccess.ReadWrite,
            HandleInheritability.None,
            leaveOpen: false);
        _view = _file.CreateViewAccessor(0, ProgressPage.ByteCount);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _content = (ProgressPage.Content*)start;
        _content->Epoch = epoch;
        _content->ProcessId = Environment.ProcessId;
        _content->Since = Stopwatch.GetTimestamp();
        _content->Phase = ProgressPhase.Joining;
        Volatile.Write(ref _content->Magic, ProgressPage.Magic);
    }

    /// <summary>Makes the page of a rank that is about to join; <see langword="null"/> where none can be had, which only costs the explanation of a hang.</summary>
    public static ProgressPageWriter? TryCreate(string directory, int rank, int epoch)
    {
        try
        {
            return new ProgressPageWriter(ProgressPage.PathOf(directory, rank), epoch);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>An operation begins.</summary>
    public void Begin(Operation operation, CollectiveOptions options, long timestamp)
    {
        var version = Enter();

        // Messages between two ranks have no number of their own: the others know nothing of them.
        _content->Sequence += operation == Operation.Send ? 0 : 1;
        _content->Since = timestamp;
        _content->Phase = options.AwaitsWork ? ProgressPhase.AwaitingWork : ProgressPhase.InOperation;
        _content->Operation = operation;
        _content->Tag = options.Tag;
        Leave(version);
    }

    /// <summary>The rank has made a subgroup.</summary>
    public void TellSubgroup()
    {
        var version = Enter();
        _content->HasSubgroups = 1;
        Leave(version);
    }

    /// <summary>The operation has ended.</summary>
    public void End() => Say(ProgressPhase.BetweenOperations);

    /// <summary>Says that the rank has left, to whoever has the page open, and removes it.</summary>
    public void Dispose()
    {
        Say(ProgressPhase.Left);
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
        try
        {
            File.Delete(_path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It goes with the job's directory.
        }
    }

    private void Say(ProgressPhase phase)
    {
        var version = Enter();
        _content->Phase = phase;
        Leave(version);
    }

    private long Enter()
    {
        var version = _content->Version + 1;
        _content->Version = version;
        Volatile.WriteBarrier(); // Nothing of the change is seen before the odd version.
        return version;
    }

    private void Leave(long version) => Volatile.Write(ref _content->Version, version + 1);
}
