using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Distributed.Engine.Serving;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// What is measured, as Prometheus reads it (text format 0.0.4): the scheduler's state under llama.cpp's names, and what meters observe under their own names, in
/// Prometheus' spelling.
/// </summary>
internal sealed class PrometheusText : IDisposable
{
    private const int MaxSeriesCount = 1024; // labels are the program's own and few; this only keeps a mistake from growing

    private static readonly double[] Seconds =
        [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

    private static readonly double[] Counts = [1, 2, 4, 8, 16, 32, 64, 128, 256];

    private readonly ServerState _state;
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<(Instrument Instrument, string Labels), Series> _series = new();

    public PrometheusText(ServerState state)
    {
        _state = state;
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name is SchedulerMetrics.MeterName or ServingMetrics.MeterName)
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.Start();
    }

    /// <summary>All that is known now.</summary>
    public string Write()
    {
        var text = new StringBuilder();
        if (_state.Scheduler is { } scheduler)
        {
            WriteSnapshot(text, scheduler.Snapshot());
        }

        foreach (var instrument in _series.GroupBy(series => series.Key.Instrument).OrderBy(group => group.Key.Name, StringComparer.Ordinal))
        {
            var isHistogram = IsHistogram(instrument.Key);
            var name = NameOf(instrument.Key);
            WriteHead(text, name, isHistogram ? "histogram" : "counter", instrument.Key.Description ?? "");
            foreach (var (key, series) in instrument.OrderBy(series => series.Key.Labels, StringComparer.Ordinal))
            {
                series.WriteTo(text, name, key.Labels, isHistogram);
            }
        }

        return text.ToString();
    }

    public void Dispose() => _listener.Dispose();

    private static void WriteSnapshot(StringBuilder text, SchedulerSnapshot now)
    {
        var seconds = now.StepTime.TotalSeconds;
        Counter("prompt_tokens_total", now.PromptTokens, "Tokens of prompts, those of reused prefixes included.");
        Counter("prompt_tokens_cached_total", now.CachedPromptTokens, "Tokens of prompts that were not computed because their prefixes were in the cache.");
        Counter("tokens_predicted_total", now.GeneratedTokens, "Tokens generated.");
        Gauge("prompt_tokens_seconds", Share(now.PromptTokens - now.CachedPromptTokens, seconds), "Tokens of prompts computed a second of all steps.");
        Gauge("predicted_tokens_seconds", Share(now.GeneratedTokens, seconds), "Tokens generated a second of all steps.");
        Gauge("requests_processing", now.RunningRequests, "Requests in slots.");
        Gauge("requests_deferred", now.WaitingRequests, "Requests that wait for a slot.");
        Gauge("requests_stalled", now.StalledRequests, "Requests in slots whose clients do not read.");
        Gauge("queued_tokens", now.WaitingTokens, "Tokens of the prompts and answers that wait.");
        Gauge("slots", now.SlotCount, "Requests that can run at once.");
        Gauge("n_busy_slots_per_decode", Share(now.GeneratedTokens, now.Steps), "Tokens generated a step, which are the slots that decoded in it.");
        Gauge("token_usage", Share(now.UsedBlocks, now.TotalBlocks), "Share of the key-value cache that running requests hold, 0 to 1.");
        Gauge("cache_hit_rate", Share(now.CachedPromptTokens, now.PromptTokens), "Share of the tokens of prompts that were in the cache, 0 to 1.");
        Gauge("kv_cache_blocks", now.TotalBlocks, "Blocks of the key-value cache.");
        Gauge("kv_cache_blocks_cached", now.CachedBlocks, "Blocks that no request holds and that are kept for their prefixes.");
        Counter("decode_total", now.Steps, "Steps run.");
        Counter("step_seconds_total", seconds, "Time of all steps, in the model and its collectives.");
        Counter("scheduling_seconds_total", now.SchedulingTime.TotalSeconds, "Time spent beside the model while there was work.");
        Counter("preemptions_total", now.Preemptions, "How often a request gave up its place and was computed again later.");
        Counter("requests_accepted_total", now.AcceptedRequests, "Requests taken.");
        Counter("requests_finished_total", now.FinishedRequests, "Requests that reached their end.");
        Counter("requests_cancelled_total", now.CancelledRequests, "Requests whose clients gave them up.");
        Counter("requests_failed_total", now.FailedRequests, "Requests that failed.");
        Counter("requests_refused_total", now.RefusedRequests, "Requests for which there was no room.");

        void Counter(string name, double value, string help) => Write(name, value, help, "counter");
        void Gauge(string name, double value, string help) => Write(name, value, help, "gauge");
        void Write(string name, double value, string help, string type)
        {
            WriteHead(text, $"distributed_{name}", type, help);
            text.Append(CultureInfo.InvariantCulture, $"distributed_{name} {value}\n");
        }
    }

    private static double Share(double part, double whole) => whole > 0 ? part / whole : 0;

    private static void WriteHead(StringBuilder text, string name, string type, string help)
        => text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private static bool IsHistogram(Instrument instrument) => instrument is Histogram<double> or Histogram<int> or Histogram<long>;

    // OpenTelemetry's rule: dots become underscores, seconds are said, and a counter is a total.
    private static string NameOf(Instrument instrument)
    {
        var name = instrument.Name.Replace('.', '_');
        name = instrument.Unit == "s" ? $"{name}_seconds" : name;
        return IsHistogram(instrument) ? name : $"{name}_total";
    }

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var labels = "";
        foreach (var (name, tag) in tags)
        {
            var shown = (tag as string ?? string.Create(CultureInfo.InvariantCulture, $"{tag}")).Replace("\\", @"\\", StringComparison.Ordinal)
                .Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
            labels += $"{(labels.Length > 0 ? "," : "")}{name.Replace('.', '_')}=\"{shown}\"";
        }

        if (_series.TryGetValue((instrument, labels), out var series)
            || (_series.Count < MaxSeriesCount && (series = _series.GetOrAdd((instrument, labels), static key => new Series(key.Instrument.Unit == "s" ? Seconds : Counts))) is not null))
        {
            series.Add(value);
        }
    }

    /// <summary>One set of labels of an instrument: how often, how much, and how often up to each bound.</summary>
    private sealed class Series(double[] bounds)
    {
        private readonly long[] _counts = new long[bounds.Length]; // [bound], of the values above the bound before it
        private readonly Lock _lock = new();
        private double _sum;
        private long _count;

        public void Add(double value)
        {
            lock (_lock)
            {
                _sum += value;
                _count++;
                var index = Array.FindIndex(bounds, bound => value <= bound);
                if (index >= 0)
                {
                    _counts[index]++;
                }
            }
        }

        public void WriteTo(StringBuilder text, string name, string labels, bool isHistogram)
        {
            var all = labels.Length > 0 ? $"{{{labels}}}" : "";
            lock (_lock)
            {
                if (!isHistogram)
                {
                    text.Append(CultureInfo.InvariantCulture, $"{name}{all} {_sum}\n");
                    return;
                }

                var before = labels.Length > 0 ? $"{labels}," : "";
                long below = 0;
                for (var index = 0; index < bounds.Length; index++)
                {
                    below += _counts[index];
                    text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{{before}le=\"{bounds[index]}\"}} {below}\n");
                }

                text.Append(CultureInfo.InvariantCulture, $"{name}_bucket{{{before}le=\"+Inf\"}} {_count}\n{name}_sum{all} {_sum}\n{name}_count{all} {_count}\n");
            }
        }
    }
}
