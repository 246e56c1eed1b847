using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>What the HTTP server observes; what the model does is told by the scheduler's own instruments.</summary>
internal static class ServingMetrics
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "Distributed.Worker.Serving";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Counter<long> Requests = Meter.CreateCounter<long>(
        "http.server.requests", "{request}", "HTTP requests that were answered, by route and status.");

    /// <summary>A request was answered.</summary>
    public static void Answered(HttpContext context)
    {
        // The path of a request that fits no route is the client's and could be anything.
        var route = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
        Requests.Add(
            1,
            new("http.route", route),
            new("http.response.status_code", context.Response.StatusCode.ToString(CultureInfo.InvariantCulture)));
    }
}
