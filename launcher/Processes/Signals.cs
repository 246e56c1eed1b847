using System.Runtime.Versioning;

namespace Distributed.Launcher.Processes;

/// <summary>The signals that the launcher names, sends or receives; those with one number on every POSIX system.</summary>
internal static class Signals
{
    public const int Hangup = 1;
    public const int Interrupt = 2;
    public const int Quit = 3;
    public const int Abort = 6;
    public const int Kill = 9;
    public const int Terminate = 15;

    private const nint DefaultAction = 0; // SIG_DFL
    private const nint IgnoreAction = 1; // SIG_IGN

    // Named as Linux numbers them; macOS differs from 7 on for a few, which its own table says.
    private static readonly string[] LinuxNames =
    [
        "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",
        "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
        "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
    ];

    private static readonly string[] MacNames =
    [
        "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGEMT", "SIGFPE", "SIGKILL", "SIGBUS", "SIGSEGV", "SIGSYS",
        "SIGPIPE", "SIGALRM", "SIGTERM", "SIGURG", "SIGSTOP", "SIGTSTP", "SIGCONT", "SIGCHLD", "SIGTTIN", "SIGTTOU", "SIGIO", "SIGXCPU",
        "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGINFO", "SIGUSR1", "SIGUSR2",
    ];

    /// <summary>Those that ask a program to end: what torchrun handles.</summary>
    public static readonly IReadOnlyList<int> Terminating = [Terminate, Interrupt, Hangup, Quit];

    /// <summary>Those that are meant for the programs: see <see cref="SignalHandlers"/>.</summary>
    public static readonly IReadOnlyList<int> Forwarded = OperatingSystem.IsWindows()
        ? [] : [NumberOf("USR1")!.Value, NumberOf("USR2")!.Value, NumberOf("WINCH")!.Value, TerminalStop, Continue];

    /// <summary>SIGTSTP: Ctrl-Z.</summary>
    public static int TerminalStop => OperatingSystem.IsMacOS() ? 18 : 20;

    /// <summary>SIGCONT: wakes a stopped process so that it can act on the signal before it.</summary>
    public static int Continue => OperatingSystem.IsMacOS() ? 19 : 18;

    /// <summary>SIGSTOP.</summary>
    public static int Stop => OperatingSystem.IsMacOS() ? 17 : 19;

    /// <summary>Whether SIGHUP was ignored when the launcher started, which is what nohup asks for.</summary>
    public static bool HangupIsIgnored { get; private set; }


    private static int TerminalInput => 21; // SIGTTIN

    private static int TerminalOutput => 22; // SIGTTOU

    private static int ChildEnded => OperatingSystem.IsMacOS() ? 20 : 17; // SIGCHLD

    /// <summary>The number of a signal of this system, with or without SIG before its name; <see langword="null"/> where there is none.</summary>
    public static int? NumberOf(string name)
    {
        if (OperatingSystem.IsWindows())
        {
            return name switch { "SIGINT" => Interrupt, "SIGTERM" => Terminate, "SIGHUP" => Hangup, "SIGQUIT" => Quit, _ => null };
        }

        var names = OperatingSystem.IsMacOS() ? MacNames : LinuxNames;
        var number = Array.IndexOf(names, name.StartsWith("SIG", StringComparison.Ordinal) ? name : "SIG" + name);
        return number > 0 ? number : null;
    }

    /// <summary>The name of a signal, or torchrun's <c>&lt;N/A&gt;</c>.</summary>
    public static string Name(int signal)
    {
        var names = OperatingSystem.IsMacOS() ? MacNames : LinuxNames;
        return signal > 0 && signal < names.Length ? names[signal] : "<N/A>";
    }

    /// <summary>Brings the dispositions that the launcher inherited into the state that it relies on.</summary>
    [UnsupportedOSPlatform("windows")]
    public static void PrepareLauncher()
    {
        // A parent that ignores SIGCHLD would have the kernel collect the ranks, and their exit codes with them.
        Libc.SetSignalAction(ChildEnded, DefaultAction);

        // A shell starts a background job with SIGINT and SIGQUIT ignored, and the runtime never handles a signal that it finds ignored;
        // someone who sends one to the launcher means it all the same. An ignored SIGHUP is different: the user typed nohup.
        Libc.SetSignalAction(Interrupt, DefaultAction);
        Libc.SetSignalAction(Quit, DefaultAction);
        HangupIsIgnored = Libc.SetSignalAction(Hangup, DefaultAction) == IgnoreAction;
        if (HangupIsIgnored)
        {
            Libc.SetSignalAction(Hangup, IgnoreAction);
        }

        // In the background, reading the terminal fails instead of stopping the job (and the ranks, which inherit this).
        Libc.SetSignalAction(TerminalInput, IgnoreAction);
        Libc.SetSignalAction(TerminalOutput, IgnoreAction);
    }

    /// <summary>
    /// The signals that a new program gets in their default disposition, as the bit set that sigset_t begins with on Linux and macOS.
    /// </summary>
    public static ulong Defaults()
    {
        // All, also the two that the threads of glibc use: it ignores those in a new program unless they are named. SIGKILL and SIGSTOP
        // have no other disposition. For ranks, which are not in the terminal's foreground group, reading it is an error (EIO), as under
        // torchrun, and no silent stop.
        var others = Bit(Kill) | Bit(Stop) | Bit(TerminalInput) | Bit(TerminalOutput) | (HangupIsIgnored ? Bit(Hangup) : 0);
        return ulong.MaxValue & ~others;
    }

    private static ulong Bit(int signal) => 1UL << (signal - 1);
}
