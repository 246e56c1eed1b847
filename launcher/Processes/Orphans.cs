using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Distributed.Launcher.Processes;

/// <summary>
/// What a rank has started and left: on Linux the launcher adopts it (prctl(2), PR_SET_CHILD_SUBREAPER), so that it is found at the end of the
/// attempt also where it has left its group or session, or forgotten its environment.
/// </summary>
/// <remarks>The children of a process are the process's, so this is static, as they are.</remarks>
[UnsupportedOSPlatform("windows")]
internal static partial class Orphans
{
    private const int SetChildSubreaper = 36; // PR_SET_CHILD_SUBREAPER
    private const int ChildEnded = 17; // SIGCHLD of Linux
    private const int AnyChild = 0; // P_ALL

    // si_pid in the ints of siginfo_t: after signo, errno and code, and the gap before a union of 64 bits.
    private static readonly int ProcessId = nint.Size == 8 ? 4 : 3;

    private static readonly Lock Gate = new(); // over the making of children, so that none is taken for an orphan
    private static readonly HashSet<int> Own = []; // the launcher's own children
    private static PosixSignalRegistration? _ended;

    /// <summary>From now on they come to this process.</summary>
    [SupportedOSPlatform("linux")]
    public static void Adopt()
    {
        if (Prctl(SetChildSubreaper, 1, 0, 0, 0) == 0)
        {
            _ended ??= PosixSignalRegistration.Create((PosixSignal)ChildEnded, _ => CollectDead());
        }
    }

    /// <summary>Starts a child of the launcher's own.</summary>
    public static int Start(Func<int> start)
    {
        lock (Gate)
        {
            var id = start();
            Own.Add(id);
            return id;
        }
    }

    /// <summary>A child of the launcher's own has been collected; its id may soon mean another process.</summary>
    public static void Forget(int id)
    {
        lock (Gate)
        {
            Own.Remove(id);
        }

        if (_ended is not null)
        {
            CollectDead(); // It may have lain before others.
        }
    }

    /// <summary>Kills all of them, and what comes of them, as long as there are any.</summary>
    /// <param name="limit">How long.</param>
    /// <returns>Those that did not end.</returns>
    public static IReadOnlyList<int> KillAll(TimeSpan limit)
    {
        if (_ended is null)
        {
            return [];
        }

        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var left = List();
            foreach (var id in left)
            {
                _ = Libc.Kill(id, Signals.Kill); // It has not been collected, so the id is its own.
            }

            CollectDead();
            if (left.Count == 0 || TimeProvider.System.GetElapsedTime(start) > limit)
            {
                return left;
            }

            Thread.Sleep(1);
        }
    }

    private static List<int> List()
    {
        var found = new List<int>();
        lock (Gate)
        {
            foreach (var folder in Directory.EnumerateDirectories("/proc"))
            {
                if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                    && !Own.Contains(id) && ParentOf(folder) == Environment.ProcessId)
                {
                    found.Add(id);
                }
            }
        }

        return found;
    }

    /// <summary>The parent of a process that is not dead.</summary>
    private static int ParentOf(string folder)
    {
        try
        {
            // pid (name) state parent; the name may hold anything.
            var stat = File.ReadAllText(folder + "/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ', 3);
            return fields[0] is "Z" or "X" ? 0 : int.Parse(fields[1], CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return 0; // Gone by now.
        }
    }

    /// <summary>Collects those that have ended, so that a long job does not fill the process table with them.</summary>
    private static unsafe void CollectDead()
    {
        lock (Gate)
        {
            // The first dead child is looked at, and left if it is not an orphan: whoever collects it calls again.
            var info = stackalloc int[32];
            while (true)
            {
                new Span<int>(info, 32).Clear();
                var failed = Libc.WaitId(AnyChild, 0, info, Libc.WaitExited | Libc.WaitNoReap | Libc.WaitNoHang) < 0;
                if (failed || info[0] == 0 || Own.Contains(info[ProcessId]))
                {
                    return;
                }

                if (Libc.WaitPid(info[ProcessId], out _, Libc.WaitNoHang) <= 0)
                {
                    return; // Not this thread's to collect; to look again would find it again.
                }
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int Prctl(int option, nuint value, nuint unused3, nuint unused4, nuint unused5);
}
