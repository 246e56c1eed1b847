using Distributed.Collectives.Launching;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Tests.Reporting;

public sealed class FailureReportTests
{
    // Local time, whatever the zone of the machine.
    private static readonly DateTimeOffset Time = new(new DateTime(2026, 8, 22, 10, 11, 12, DateTimeKind.Local));

    /// <summary>Letter for letter the form of torch.distributed.elastic.multiprocessing.errors.ChildFailedError, but for the verdicts.</summary>
    [Fact]
    public void Format_TwoFailures_IsTorchrunsForm()
    {
        var root = new RankExit(4, 4241, new ChildEnd(1, 0), Time, new ErrorRecord("ValueError: x", "Traceback (most recent call last):\n  line\nValueError: x\n", Time, null));
        var other = new RankExit(5, 4242, new ChildEnd(0, 15), Time);
        Assert.Equal(
            """

            ============================================================
            train.py FAILED
            ------------------------------------------------------------
            Failures:
            [1]:
              time      : 2026-08-22_10:11:12
              host      : node1.example.com
              rank      : 5 (local_rank: 5)
              exitcode  : -15 (pid: 4242)
              error_file: <N/A>
              traceback : Signal 15 (SIGTERM) received by PID 4242
              verdict   : failed after the culprit
            ------------------------------------------------------------
            Root Cause (first observed failure):
            [0]:
              time      : 2026-08-22_10:11:12
              host      : node1.example.com
              rank      : 4 (local_rank: 4)
              exitcode  : 1 (pid: 4241)
              error_file: /tmp/torchelastic_ab12/none_cd34/attempt_0/4/error.json
              traceback : Traceback (most recent call last):
                line
              ValueError: x
              verdict   : culprit
            ============================================================
            """,
            Format(new FailureAnalysis(root, [other], [])));
    }

    [Fact]
    public void Format_OneFailureAndItsVictims_AddsWhatTorchrunLacks()
    {
        var root = new RankExit(1, 11, new ChildEnd(3, 0), Time);
        var victim = new RankExit(0, 10, new ChildEnd(75, 0), Time.AddSeconds(1), new ErrorRecord("PeerLostException: x", null, null, 1));
        var stopped = new RankExit(2, 12, new ChildEnd(0, 9), Time);
        Assert.Equal(
            """

            ============================================================
            x FAILED
            ------------------------------------------------------------
            Failures:
            [0]:
              time      : 2026-08-22_10:11:13
              host      : h
              rank      : 0 (local_rank: 0)
              exitcode  : 75 (pid: 10)
              error_file: <N/A>
              traceback : PeerLostException: x
              verdict   : victim of rank 1
            ------------------------------------------------------------
            Stopped by distrun (collateral):
              rank 2 (pid: 12), exitcode -9
            ------------------------------------------------------------
            Root Cause (first observed failure):
            [1]:
              time      : 2026-08-22_10:11:12
              host      : h
              rank      : 1 (local_rank: 1)
              exitcode  : 3 (pid: 11)
              error_file: <N/A>
              traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
              verdict   : culprit
              stderr    : first
                second
            ============================================================
            """,
            FailureReport.Format("x", "h", new FailureAnalysis(root, [victim], [stopped]), exit => new RankDetails(FailureReport.NotAvailable, exit == root ? ["first", "second"] : ["not shown"])));
    }

    /// <summary>The borders are as wide as the longest line, up to 60.</summary>
    [Fact]
    public void Format_NarrowReport_HasNarrowBorders()
    {
        var report = FailureReport.Format(
            "x", "h", new FailureAnalysis(new RankExit(0, 1, new ChildEnd(0, 9), Time), [], []), _ => new RankDetails(FailureReport.NotAvailable, []));
        var longest = "  traceback : Signal 9 (SIGKILL) received by PID 1".Length;
        Assert.Equal(new string('=', longest), report.Split('\n')[1]);
        Assert.Contains("\nFailures:\n  <NO_OTHER_FAILURES>\n---", report, StringComparison.Ordinal);
    }

    [Fact]
    public void Format_UnknownSignalAndForeignErrorFile_AreSaidAndDoNotCrash()
    {
        var report = Format(new FailureAnalysis(new RankExit(0, 1, new ChildEnd(0, 64), Time, null, "it is not JSON"), [], []));
        Assert.Contains("traceback : Signal 64 (<N/A>) received by PID 1\n  (The error file was not understood: it is not JSON.)\n", report, StringComparison.Ordinal);
    }

    private static string Format(FailureAnalysis analysis) => FailureReport.Format(
        "train.py",
        "node1.example.com",
        analysis,
        failure => new RankDetails(failure.Error is null ? FailureReport.NotAvailable : $"/tmp/torchelastic_ab12/none_cd34/attempt_0/{failure.Rank}/error.json", []));
}
