using System.Runtime.InteropServices;
using Distributed.Protos;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Collectives.Launching;

/// <summary>What a rank does, seen from its process group.</summary>
public enum ProgressPhase
{
    /// <summary>It waits for the other ranks to join.</summary>
    Joining = 1,

    /// <summary>It is in no operation: it computes, loads, or whatever its program does.</summary>
    BetweenOperations,

    /// <summary>It is in an operation.</summary>
    InOperation,

    /// <summary>It is in an operation whose others come when there is work (<see cref="CollectiveOptions.AwaitsWork"/>).</summary>
    AwaitingWork,

    /// <summary>It has left the group.</summary>
    Left,
}

/// <summary>Where a rank was at one moment.</summary>
/// <param name="Phase">What it does.</param>
/// <param name="Sequence">Collectives that it has begun, the one of joining included; the same number is the same operation on every rank.</param>
/// <param name="Since">When it began the last of them, as <see cref="System.Diagnostics.Stopwatch.GetTimestamp"/> of any process of this machine.</param>
/// <param name="Operation">The last operation as a text says it: all-reduce.</param>
/// <param name="Tag">Its tag.</param>
/// <param name="ProcessId">The process that wrote this.</param>
public readonly record struct ProgressSnapshot(
    ProgressPhase Phase, long Sequence, long Since, string Operation, uint Tag, int ProcessId)
{
    /// <summary>
    /// Whether the rank has made subgroups, of pipeline stages say. Ranks of such a job do different operations, and their numbers cannot be compared.
    /// </summary>
    public bool HasSubgroups { get; init; }
}

/// <summary>
/// The page, a file of 64 bytes in the job's directory, in which a rank publishes where it is among the operations of its group, so that the
/// launcher can say who waits for whom. The rank writes it through memory; whoever may enter the directory may read it.
/// </summary>
/// <remarks>
/// One writer, any number of readers, no lock: the version is odd while the writer is inside and has grown by two afterwards (a sequence lock,
/// as in Linux's seqlock.h). A writer that is stopped or killed inside leaves it odd.
/// </remarks>
public static class ProgressPage
{
    internal const int ByteCount = 64;
    internal const uint Magic = 0x3147_5044; // DPG1
    private const int AttemptCount = 3;

    /// <summary>The page of a rank.</summary>
    public static string PathOf(string directory, int rank) => Path.Combine(directory, FormattableString.Invariant($"progress.{rank}"));

    /// <summary>Reads a page; <see langword="null"/> where it holds no snapshot of <paramref name="epoch"/>, or is just being written.</summary>
    /// <param name="page">The open file.</param>
    /// <param name="epoch">The restart count of the group that is asked about.</param>
    public static ProgressSnapshot? TryRead(SafeFileHandle page, int epoch)
    {
        Span<byte> bytes = stackalloc byte[ByteCount];
        Span<byte> again = stackalloc byte[ByteCount];
        for (var attempt = 0; attempt < AttemptCount; attempt++)
        {
            // One read may see half of a change. Two equal ones with an even version cannot: a change in between alters the version.
            if (RandomAccess.Read(page, bytes, 0) == ByteCount && RandomAccess.Read(page, again, 0) == ByteCount && bytes.SequenceEqual(again))
            {
                var content = MemoryMarshal.Read<Content>(bytes);
                if (content.Version % 2 == 0)
                {
                    return content.Magic == Magic && content.Epoch == epoch && content.Phase is >= ProgressPhase.Joining and <= ProgressPhase.Left
                        ? new ProgressSnapshot(
                            content.Phase, content.Sequence, content.Since, Words(content.Operation), content.Tag, content.ProcessId)
                        {
                            HasSubgroups = content.HasSubgroups != 0,
                        }
                        : null;
                }
            }
        }

        return null;
    }

    // AllReduce is written all-reduce.
    private static string Words(Operation operation)
        => string.Concat(operation.ToString().Select(
            (letter, index) => char.IsUpper(letter) ? (index > 0 ? "-" : "") + char.ToLowerInvariant(letter) : letter.ToString()));

    [StructLayout(LayoutKind.Sequential, Size = ByteCount)]
    internal struct Content
    {
        public uint Magic;
        public int Epoch;
        public long Version;
        public long Sequence;
        public long Since;
        public ProgressPhase Phase;
        public Operation Operation;
        public uint Tag;
        public int ProcessId;
        public int HasSubgroups;
    }
}
