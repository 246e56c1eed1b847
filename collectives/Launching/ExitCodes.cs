namespace Distributed.Collectives.Launching;

/// <summary>
/// What the exit code of a ranked process says, and so what the launcher's says: it ends with the code of the rank that was the
/// root cause.
/// </summary>
/// <remarks>A process that was ended by signal n counts as <see cref="ForSignal"/>, as in a shell.</remarks>
public static class ExitCodes
{
    /// <summary>All is done.</summary>
    public const int Success = 0;

    /// <summary>The work failed.</summary>
    public const int Failure = 1;

    /// <summary>
    /// The command line or a file that it names cannot be used. The process has said so on stderr, one sentence a mistake, and the
    /// launcher adds nothing to that.
    /// </summary>
    public const int BadInput = 2;

    /// <summary>
    /// The group failed around this rank: a peer was lost or the ranks did not find each other (EX_TEMPFAIL of sysexits.h). Such a rank
    /// is a victim, never the root cause while another rank failed for a reason of its own.
    /// </summary>
    public const int GroupFailed = 75;

    /// <summary>128 + n, the code of a process that signal <paramref name="signal"/> has ended.</summary>
    public static int ForSignal(int signal) => 128 + signal;
}
