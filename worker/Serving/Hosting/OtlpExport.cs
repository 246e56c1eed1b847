using System.Globalization;
using Distributed.Engine.Serving;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>Sends what a rank measures to a collector of OpenTelemetry's: OTLP over HTTP in protobuf, once a minute and at the end. Only where that was asked for.</summary>
internal static class OtlpExport
{
    private const string Path = "v1/metrics"; // the protocol's

    /// <summary>Begins; disposing sends the last and ends it.</summary>
    /// <param name="collector">The collector's address, as <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> has it: <c>http://127.0.0.1:4318</c>.</param>
    /// <param name="rank">Whose measurements these are.</param>
    public static IDisposable Start(Uri collector, int rank) => Sdk.CreateMeterProviderBuilder()
        .ConfigureResource(resource => resource.AddService(
            "distributed-worker", serviceInstanceId: string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}/{rank}")))
        .AddMeter(SchedulerMetrics.MeterName, ServingMetrics.MeterName, "Distributed.Collectives")
        .AddOtlpExporter(options =>
        {
            options.TimeoutMilliseconds = 3000; // also at the end, where somebody waits
            options.Protocol = OtlpExportProtocol.HttpProtobuf;
            options.Endpoint = new Uri(collector.AbsoluteUri.EndsWith('/') ? collector : new Uri($"{collector.AbsoluteUri}/"), Path);
        })
        .Build();
}
