using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <summary>
/// Tells every peer five times a second where this rank is, and ends the group when a peer has said nothing for too long: its process is stopped,
/// or the way between the two is cut. A rank that computes for minutes keeps saying so and is left alone.
/// </summary>
/// <remarks>
/// The kernel answers for a stopped process, so neither TCP nor HTTP/2 pings find it. Silence is counted in this thread's own steps: a
/// process that was stopped itself, and so heard nothing, does not take its peers for silent. What the peers say is read by threads that do nothing else, so a thread pool
/// that is kept busy holds up no heartbeat.
/// </remarks>
internal sealed class PeerPulse : IDisposable
{
    /// <summary>The limit unless another is asked for.</summary>
    public static readonly TimeSpan DefaultSilenceLimit = TimeSpan.FromSeconds(4); // a verdict is to take less than 5 s on a machine that is busy, too

    /// <summary>Between two heartbeats, unless the limit asks for more.</summary>
    public static readonly TimeSpan LongestInterval = TimeSpan.FromMilliseconds(200);

    private readonly IReadOnlyList<GrpcTransport> _streams;
    private readonly RunningOperation _operation;
    private readonly GroupFailure _failure;
    private readonly TimeSpan _limit;
    private readonly TimeSpan _interval;
    private readonly ManualResetEventSlim _isOver = new();
    private readonly Thread _thread;

    /// <param name="streams">To every peer.</param>
    /// <param name="operation">What this rank says.</param>
    /// <param name="failure">Where silence is reported.</param>
    /// <param name="limit">How long a peer may be silent.</param>
    /// <param name="interval">Between two heartbeats, at most.</param>
    public PeerPulse(IReadOnlyList<GrpcTransport> streams, RunningOperation operation, GroupFailure failure, TimeSpan limit, TimeSpan interval)
    {
        _streams = streams;
        _operation = operation;
        _failure = failure;
        _limit = limit;
        _interval = limit / 8 < interval ? limit / 8 : interval;
        _thread = new Thread(Run) { IsBackground = true, Name = $"pulse of rank {operation.Rank}" };
        _thread.Start();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _isOver.Set();
        _thread.Join();
        _isOver.Dispose();
    }

    private void Run()
    {
        var last = Stopwatch.GetTimestamp();
        while (!_isOver.Wait(_interval) && _failure.First is null)
        {
            var now = Stopwatch.GetTimestamp();
            var step = Stopwatch.GetElapsedTime(last, now);
            last = now;
            if (step > 2 * _interval)
            {
                step = 2 * _interval;
            }

            var heartbeat = _operation.ToHeartbeat();
            foreach (var stream in _streams)
            {
                stream.TrySendHeartbeat(heartbeat);
                if (stream.AddSilence(step) is var silence && silence + (_interval / 2) > _limit) // a step may be a little short of the interval
                {
                    Report(stream, silence > _limit ? silence : _limit); // counted from the first step that heard nothing, which is a little late
                }
            }
        }
    }

    private void Report(GrpcTransport stream, TimeSpan silence) => _failure.Report(
        FailureKind.Timeout,
        stream.PeerRank,
        string.Create(
            CultureInfo.InvariantCulture,
            $"rank {stream.PeerRank} has said nothing for {silence.TotalSeconds:0.0} s (limit {_limit.TotalSeconds:0.###} s); its process is stopped, or the way to it is cut{stream.LastPhase}"));
}

/// <summary>What a heartbeat says, in words.</summary>
internal static class PeerPhase
{
    /// <summary>"; it was last heard of in AllReduce (tag 7, operation 812, step 4, layer 3), begun 3.2 s before", or "" where nothing was heard.</summary>
    public static string Describe(Heartbeat? heartbeat)
    {
        if (heartbeat is not { OperationCount: > 0 })
        {
            return heartbeat is null ? "" : "; it was last heard of before its first operation";
        }

        var (where, change) = heartbeat.Phase switch
        {
            Protos.Phase.BetweenOperations => ("after", "ended"),
            Protos.Phase.AwaitingWork => ("awaiting work in", "begun"),
            _ => ("in", "begun"),
        };
        var step = (heartbeat.HasStep ? $", step {heartbeat.Step}" : "") + (heartbeat.HasLayer ? $", layer {heartbeat.Layer}" : "");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"; it was last heard of {where} {heartbeat.Operation} (tag {heartbeat.Tag}, operation {heartbeat.OperationCount}{step}), {change} {heartbeat.ElapsedMilliseconds / 1000.0:0.0} s before");
    }
}
