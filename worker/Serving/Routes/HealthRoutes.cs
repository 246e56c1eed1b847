using Distributed.Worker.Serving.Hosting;
using Distributed.Worker.Serving.Responses;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Routes;

/// <summary><c>/livez</c>, <c>/readyz</c>, <c>/health</c> and <c>/metrics</c>.</summary>
internal sealed class HealthRoutes(ServerState state, PrometheusText metrics)
{
    /// <summary>The process answers.</summary>
    public static Task LiveAsync(HttpContext context) => SendOkAsync(context.Response);

    /// <summary>Requests would be answered: the model is loaded, gets on with its work, and the server is not ending.</summary>
    public Task ReadyAsync(HttpContext context)
        => state.Unreadiness() is { } problem ? JsonResponse.SendErrorAsync(context.Response, problem) : SendOkAsync(context.Response);

    /// <summary>What is measured, as Prometheus reads it.</summary>
    public async Task MetricsAsync(HttpContext context)
    {
        var text = metrics.Write();
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await context.Response.WriteAsync(text, context.RequestAborted);
    }

    private static Task SendOkAsync(HttpResponse response) => JsonResponse.SendAsync(response, json =>
    {
        json.WriteStartObject();
        json.WriteString("status", "ok");
        json.WriteEndObject();
    });
}
