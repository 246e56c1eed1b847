using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Hosting;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Worker.Serving.Routes;

/// <summary>All routes. Each needs a key, where there are keys, but the two by which a supervisor asks for the server's health.</summary>
internal static class ServingRoutes
{
    /// <summary>Adds them.</summary>
    public static void Map(
        IEndpointRouteBuilder routes, ServeOptions options, ServedModel model, ServerState state, PrometheusText metrics, TextWriter log)
    {
        var anonymous = new AllowAnonymousAttribute();
        var health = new HealthRoutes(state, metrics);
        routes.MapGet("/livez", HealthRoutes.LiveAsync).WithMetadata(anonymous);
        routes.MapGet("/readyz", health.ReadyAsync).WithMetadata(anonymous);
        routes.MapGet("/health", health.ReadyAsync);
        routes.MapGet("/metrics", health.MetricsAsync);

        var models = new ModelRoutes(model);
        routes.MapGet("/v1/models", models.ListAsync);
        routes.MapGet("/v1/models/{**id}", models.GetAsync);
        routes.MapPost("/tokenize", models.TokenizeAsync);
        routes.MapPost("/detokenize", models.DetokenizeAsync);

        var quota = new KeyQuota(options.MaxRequestsPerKey ?? (options.Keys.Count > 1 ? Math.Max(1, (options.MaxQueue + model.Limits.MaxBatchSize) / 2) : int.MaxValue));
        var generation = new GenerationRoutes(model, state, quota, options.PingInterval, log);
        routes.MapPost("/v1/chat/completions", generation.ChatAsync);
        routes.MapPost("/v1/completions", generation.CompleteAsync);
    }
}
