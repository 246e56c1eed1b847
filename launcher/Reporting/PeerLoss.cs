namespace Distributed.Launcher.Reporting;

/// <summary>
/// Recognises the last words of a program that failed because another one went away, for programs that do not say whom they lost: what sockets,
/// Gloo, NCCL and MPI print.
/// </summary>
internal static class PeerLoss
{
    private static readonly string[] Phrases =
    [
        "connection reset by peer",
        "connection closed by peer",
        "connection aborted",
        "broken pipe",
        "ncclRemoteError",
        "remote process exited or there was a network error",
        "PeerLostException",
    ];

    /// <summary>The phrase in one of the lines that says so; <see langword="null"/> where none does.</summary>
    public static string? Find(IEnumerable<string> lines)
    {
        foreach (var line in lines)
        {
            foreach (var phrase in Phrases)
            {
                if (line.Contains(phrase, StringComparison.OrdinalIgnoreCase))
                {
                    return phrase;
                }
            }
        }

        return null;
    }
}
