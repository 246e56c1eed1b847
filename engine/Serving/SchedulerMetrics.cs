using System.Diagnostics.Metrics;

namespace Distributed.Engine.Serving;

/// <summary>
/// What schedulers observe, for listeners and OpenTelemetry. Three names are those of its conventions for generative AI; what is counted is in
/// <see cref="SchedulerSnapshot"/>.
/// </summary>
public static class SchedulerMetrics
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "Distributed.Engine.Serving";

    private static readonly Meter Meter = new(MeterName);

    /// <summary>From the request to its first token, in seconds.</summary>
    internal static Histogram<double> TimeToFirstToken { get; } =
        Meter.CreateHistogram<double>("gen_ai.server.time_to_first_token", "s", "From the request to its first token.");

    /// <summary>From a token of an answer to the next one, in seconds.</summary>
    internal static Histogram<double> TimePerOutputToken { get; } =
        Meter.CreateHistogram<double>("gen_ai.server.time_per_output_token", "s", "From a token of an answer to the next one.");

    /// <summary>From the request to the end of its answer, in seconds.</summary>
    internal static Histogram<double> RequestDuration { get; } =
        Meter.CreateHistogram<double>("gen_ai.server.request.duration", "s", "From the request to the end of its answer.");

    /// <summary>From the request to its place in a slot, in seconds.</summary>
    internal static Histogram<double> QueueTime { get; } =
        Meter.CreateHistogram<double>("distributed.scheduler.queue_time", "s", "From the request to its place in a slot.");

    /// <summary>One pass over the model, its collectives included, in seconds.</summary>
    internal static Histogram<double> StepDuration { get; } =
        Meter.CreateHistogram<double>("distributed.scheduler.step_duration", "s", "One pass over the model, its collectives included.");

    /// <summary>Requests in a step.</summary>
    internal static Histogram<int> StepRequests { get; } =
        Meter.CreateHistogram<int>("distributed.scheduler.step_requests", "{request}", "Requests in a step.");
}
