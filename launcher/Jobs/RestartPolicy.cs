using System.Globalization;

namespace Distributed.Launcher.Jobs;

/// <summary>When a group that has failed is started again.</summary>
internal sealed record RestartLimits
{
    /// <summary>How often.</summary>
    public required int MaxRestarts { get; init; }

    /// <summary>Restarts longer ago than this are not counted; zero counts all.</summary>
    public TimeSpan Window { get; init; }

    /// <summary>A group whose first failure comes sooner after its start, and that has never lived longer, was never up.</summary>
    public TimeSpan MinUptime { get; init; }

    /// <summary>The wait before a restart, doubled with each further one that follows soon.</summary>
    public TimeSpan Backoff { get; init; }

    /// <summary>Exit codes, as the launcher ends with them, that no restart can mend.</summary>
    public IReadOnlyList<int> NoRestartExitCodes { get; init; } = [];
}

/// <summary>Whether the group is started again.</summary>
/// <param name="Delay">The wait before it is; <see langword="null"/> where it is not.</param>
/// <param name="Refusal">Why it is not, in a sentence for the user; <see langword="null"/> where restarts were not asked for.</param>
internal sealed record RestartDecision(TimeSpan? Delay, string? Refusal);

/// <summary>
/// Decides after each failure of the group. A failure that comes before the group was ever up is a mistake that a restart repeats, so it is
/// not restarted: most of all a program's wrong argument, or a file that is missing.
/// </summary>
internal sealed class RestartPolicy(RestartLimits limits)
{
    private static readonly TimeSpan LongestBackoff = TimeSpan.FromSeconds(30);

    private readonly List<TimeSpan> _restarts = []; // the times of those that count
    private int _inARow; // restarts since the group has last been up
    private bool _wasUp;

    /// <summary>How many of the restarts so far count.</summary>
    public int Used => _restarts.Count;

    /// <summary>Decides, and counts the restart if there is one.</summary>
    /// <param name="exitCode">The root cause's, as the launcher would end with it.</param>
    /// <param name="uptime">From the start of the group to its first failure.</param>
    /// <param name="now">Of any clock that does not go back.</param>
    public RestartDecision OnFailure(int exitCode, TimeSpan uptime, TimeSpan now)
    {
        if (limits.MaxRestarts == 0)
        {
            return new(null, null);
        }

        if (uptime >= limits.MinUptime)
        {
            _wasUp = true;
            _inARow = 0;
        }

        _restarts.RemoveAll(time => limits.Window > TimeSpan.Zero && now - time > limits.Window);
        if (Refusal(exitCode, uptime) is { } refusal)
        {
            return new(null, refusal);
        }

        _restarts.Add(now);
        var longest = limits.Backoff > LongestBackoff ? limits.Backoff : LongestBackoff;
        var delay = Math.Min(limits.Backoff.TotalSeconds * Math.Pow(2, _inARow++), longest.TotalSeconds);
        return new(TimeSpan.FromSeconds(delay), null);
    }

    /// <summary>Counts a restart that another node has decided on.</summary>
    /// <param name="uptime">How long the group has lived before it.</param>
    /// <param name="now">Of any clock that does not go back.</param>
    public void Count(TimeSpan uptime, TimeSpan now)
    {
        _wasUp |= uptime >= limits.MinUptime;
        _restarts.Add(now);
    }

    private string? Refusal(int exitCode, TimeSpan uptime)
        => limits.NoRestartExitCodes.Contains(exitCode)
            ? Invariant($"no restart: exit code {exitCode} is one of --no-restart-exit-codes.")
            : !_wasUp
                ? Invariant($"no restart: the group failed {uptime.TotalSeconds:0.0} s after its start, before it was up ")
                    + Invariant($"({limits.MinUptime.TotalSeconds:0.###} s); --min-uptime 0 restarts it all the same.")
                : _restarts.Count >= limits.MaxRestarts
                    ? Invariant($"no restart: {_restarts.Count} of {limits.MaxRestarts} are used{WithinWindow()}.")
                    : null;

    private string WithinWindow() => limits.Window > TimeSpan.Zero ? Invariant($" within {limits.Window.TotalSeconds:0.###} s") : "";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
