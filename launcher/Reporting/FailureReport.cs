using System.Globalization;
using System.Text;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Reporting;

/// <summary>What the report says about one rank beyond its end.</summary>
/// <param name="ErrorFile">The path to print; what torchrun prints where there is none.</param>
/// <param name="LastLines">The last lines of its stderr.</param>
internal sealed record RankDetails(string ErrorFile, IReadOnlyList<string> LastLines);

/// <summary>
/// The block that says why a job failed, in the form of torchrun's ChildFailedError (torch/distributed/elastic/multiprocessing/errors): the
/// root cause last, because it is read in the tail of a log.
/// </summary>
/// <remarks>
/// Three things are added to that form, each where torch's readers pass over it: a verdict (culprit, or victim and whose), the ranks that the
/// launcher stopped (which torchrun lists as failures), and the root cause's last lines of stderr.
/// </remarks>
internal static class FailureReport
{
    public const string NotAvailable = "<N/A>";

    private const int MaxWidth = 60;

    /// <summary>Writes the block, which begins with an empty line.</summary>
    /// <param name="title">The program.</param>
    /// <param name="host">This machine.</param>
    /// <param name="analysis">Who failed.</param>
    /// <param name="detailsOf">More about a rank that failed.</param>
    public static string Format(string title, string host, FailureAnalysis analysis, Func<RankExit, RankDetails> detailsOf)
    {
        // The number in brackets is the place among the failures, in rank order, as in torch's failure map.
        RankExit[] failures = [.. analysis.Others.Append(analysis.RootCause).OrderBy(failure => failure.Rank)];
        var blocks = failures.ToDictionary(
            failure => failure, failure => $"{FormatFailure(Array.IndexOf(failures, failure), failure, host, detailsOf(failure))}\n  verdict   : {Verdict(failure, analysis)}");
        var heading = $"{title} FAILED";
        var width = Math.Min(MaxWidth, blocks.Values.SelectMany(block => block.Split('\n')).Append(heading).Max(line => line.Length));
        var border = new string('=', width);
        var section = new string('-', width);

        var report = new StringBuilder();
        report.Append('\n').Append(border).Append('\n').Append(heading).Append('\n').Append(section).Append("\nFailures:\n");
        if (analysis.Others.Count == 0)
        {
            report.Append("  <NO_OTHER_FAILURES>\n");
        }

        foreach (var failure in analysis.Others)
        {
            report.Append(blocks[failure]).Append('\n');
        }

        if (analysis.Collateral.Count > 0)
        {
            report.Append(section).Append("\nStopped by distrun (collateral):\n");
            foreach (var exit in analysis.Collateral)
            {
                report.Append(CultureInfo.InvariantCulture, $"  rank {exit.Rank} (pid: {exit.ProcessId}), exitcode {exit.End.TorchCode}\n");
            }
        }

        report.Append(section).Append("\nRoot Cause (first observed failure):\n").Append(blocks[analysis.RootCause]).Append('\n');
        AppendLastLines(report, detailsOf(analysis.RootCause).LastLines);
        return report.Append(border).ToString();
    }

    /// <summary>One line of one failure, for a restart.</summary>
    public static string Describe(RankExit failure)
    {
        var cause = failure.Error is { } error ? $": {error.Message.Split('\n')[0].TrimEnd()}"
            : failure.End.Signal is > 0 and var signal ? $", {Signals.Name(signal)}"
            : "";
        return string.Create(CultureInfo.InvariantCulture, $"pid {failure.ProcessId}, exitcode {failure.End.TorchCode}{cause}");
    }

    private static string FormatFailure(int index, RankExit failure, string host, RankDetails details)
    {
        var time = (failure.Error?.Time ?? failure.Time).ToLocalTime();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"""
            [{index}]:
              time      : {time:yyyy-MM-dd_HH:mm:ss}
              host      : {host}
              rank      : {failure.Rank} (local_rank: {failure.LocalRank})
              exitcode  : {failure.End.TorchCode} (pid: {failure.ProcessId})
              error_file: {details.ErrorFile}
              traceback : {Traceback(failure).ReplaceLineEndings("\n").Replace("\n", "\n  ", StringComparison.Ordinal)}
            """).ReplaceLineEndings("\n");
    }

    private static string Verdict(RankExit failure, FailureAnalysis analysis)
        => failure == analysis.RootCause ? "culprit"
            : failure.Error?.VictimOfRank is { } rank ? string.Create(CultureInfo.InvariantCulture, $"victim of rank {rank}")
            : failure.LostPeer is { } phrase ? $"victim ({phrase})"
            : failure.IsVictim ? "victim"
            : "failed after the culprit";

    private static string Traceback(RankExit failure)
    {
        if (failure.Error is { } error)
        {
            return (error.CallStack ?? error.Message).TrimEnd();
        }

        var (code, signal) = failure.End;
        var traceback = signal > 0
            ? string.Create(CultureInfo.InvariantCulture, $"Signal {signal} ({Signals.Name(signal)}) received by PID {failure.ProcessId}")
            : "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html";
        return failure.ErrorProblem is { } problem ? $"{traceback}\n(The error file was not understood: {problem}.)" : traceback;
    }

    private static void AppendLastLines(StringBuilder report, IReadOnlyList<string> lines)
    {
        if (lines.Count > 0)
        {
            report.Append("  stderr    : ").AppendJoin("\n    ", lines).Append('\n');
        }
    }
}
