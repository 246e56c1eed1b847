using System.Globalization;
using Distributed.Engine.Serving;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// Sends what a rank measures, and rank 0's spans, to a collector of OpenTelemetry's: OTLP over HTTP in protobuf; metrics once a minute, spans every few seconds, and what is left at the
/// end. Only where that was asked for.
/// </summary>
internal sealed class OtlpExport : IDisposable
{
    private readonly MeterProvider _metrics;
    private readonly TracerProvider _traces;

    private OtlpExport(MeterProvider metrics, TracerProvider traces) => (_metrics, _traces) = (metrics, traces);

    /// <summary>Begins; disposing sends the last and ends it.</summary>
    /// <param name="collector">The collector's address, as <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> has it: <c>http://127.0.0.1:4318</c>.</param>
    /// <param name="rank">Whose measurements these are.</param>
    public static IDisposable Start(Uri collector, int rank)
    {
        return new OtlpExport(
            Sdk.CreateMeterProviderBuilder()
                .ConfigureResource(Describe)
                .AddMeter(SchedulerMetrics.MeterName, ServingMetrics.MeterName, "Distributed.Collectives")
                .AddOtlpExporter(options => Send(options, "v1/metrics"))
                .Build(),
            Sdk.CreateTracerProviderBuilder()
                .ConfigureResource(Describe)
                .AddSource(ServingTraces.SourceName, ServingTraces.HttpSourceName)
                .AddOtlpExporter(options => Send(options, "v1/traces"))
                .Build());

        void Describe(ResourceBuilder resource) => resource.AddService(
            "distributed-worker", serviceInstanceId: string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}/{rank}"));

        void Send(OtlpExporterOptions options, string path)
        {
            options.TimeoutMilliseconds = 3000; // also at the end, where somebody waits
            options.Protocol = OtlpExportProtocol.HttpProtobuf;
            options.Endpoint = new Uri(collector.AbsoluteUri.EndsWith('/') ? collector : new Uri($"{collector.AbsoluteUri}/"), path);
        }
    }

    public void Dispose()
    {
        _traces.Dispose();
        _metrics.Dispose();
    }
}
