using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Distributed.Collectives;

/// <summary>
/// What one rank's operations cost, as OpenTelemetry metrics: the instruments of the meter <see cref="MeterName"/>, which any listener of
/// System.Diagnostics.Metrics collects (OpenTelemetry's AddMeter, dotnet-counters). While nobody listens an operation pays for two comparisons.
/// </summary>
/// <remarks>Of the owner thread. Names and units follow OpenTelemetry's conventions: lower case with dots, seconds, UCUM units.</remarks>
/// <param name="rank">This rank.</param>
/// <param name="transports">To every other rank.</param>
internal sealed class CollectiveMetrics(int rank, IReadOnlyList<Transports.PeerTransport> transports)
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "Distributed.Collectives";

    /// <summary>The attribute that names the operation: AllReduce.</summary>
    public const string OperationAttribute = "distributed.collective.operation";

    /// <summary>The attribute that says whose measurement it is, a number.</summary>
    public const string RankAttribute = "distributed.rank";

    /// <summary>The attribute that names the rank that was waited for longest.</summary>
    public const string StragglerAttribute = "distributed.collective.straggler";

    // The conventions' own name for why something failed; absent where it did not.
    private const string ErrorAttribute = "error.type";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Counter<long> Operations = Meter.CreateCounter<long>(
        "distributed.collective.operations", "{operation}", "Operations that have ended, by success or not.");

    private static readonly Counter<long> Payload = Meter.CreateCounter<long>(
        "distributed.collective.payload", "By", "Bytes of this rank's arguments.");

    private static readonly Counter<long> Sent = Meter.CreateCounter<long>(
        "distributed.collective.sent", "By", "Payload that this rank has sent to its peers.");

    // Between a microsecond, in shared memory, and the default limit of an operation.
    private static readonly InstrumentAdvice<double> Times = new()
    {
        HistogramBucketBoundaries = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 10, 60, 300],
    };

    private static readonly Histogram<double> Duration = Meter.CreateHistogram(
        "distributed.collective.duration", "s", "Time in an operation, waiting for slower ranks included.", tags: null, Times);

    private static readonly Histogram<double> Wait = Meter.CreateHistogram(
        "distributed.collective.wait", "s", "Time in an operation that this rank has waited for the slowest of its peers.", tags: null, Times);

    private readonly TimeSpan[] _waitedBefore = new TimeSpan[transports.Count];
    private long _sentBefore;
    private bool _isMeasured;

    /// <summary>An operation begins.</summary>
    /// <param name="sentByteCount">What this rank has sent so far.</param>
    public void Begin(Func<long> sentByteCount)
    {
        _isMeasured = Operations.Enabled || Payload.Enabled || Sent.Enabled || Duration.Enabled || Wait.Enabled;
        if (_isMeasured)
        {
            _sentBefore = sentByteCount();
            for (var i = 0; i < transports.Count; i++)
            {
                _waitedBefore[i] = transports[i].Waited;
            }
        }
    }

    /// <summary>The operation that was begun last has ended.</summary>
    /// <param name="name">The method.</param>
    /// <param name="byteCount">Of its arguments.</param>
    /// <param name="elapsed">Since it began.</param>
    /// <param name="sentByteCount">What this rank has sent so far.</param>
    /// <param name="failure">How the group has failed, if it has.</param>
    public void End(string name, long byteCount, TimeSpan elapsed, Func<long> sentByteCount, FailureKind? failure)
    {
        if (!_isMeasured)
        {
            return;
        }

        var tags = new TagList { { OperationAttribute, name }, { RankAttribute, rank } };
        if (failure is { } kind)
        {
            tags.Add(ErrorAttribute, kind.ToString());
        }

        Operations.Add(1, tags);
        Payload.Add(byteCount, tags);
        Sent.Add(sentByteCount() - _sentBefore, tags);
        Duration.Record(elapsed.TotalSeconds, tags);
        var (longest, straggler) = (TimeSpan.Zero, -1);
        for (var i = 0; i < transports.Count; i++)
        {
            if (transports[i].Waited - _waitedBefore[i] is var waited && waited > longest)
            {
                (longest, straggler) = (waited, transports[i].PeerRank);
            }
        }

        if (straggler >= 0)
        {
            tags.Add(StragglerAttribute, straggler);
            Wait.Record(longest.TotalSeconds, tags);
        }
    }
}
