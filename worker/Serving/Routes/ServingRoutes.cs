using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Grpc;
using Distributed.Worker.Serving.Hosting;
using Distributed.Worker.Serving.Page;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Distributed.Worker.Serving.Routes;

/// <summary>All routes. Each needs a key, where there are keys, but the two by which a supervisor asks for the server's health.</summary>
internal static class ServingRoutes
{
    /// <summary>Adds them.</summary>
    public static void Map(
        IEndpointRouteBuilder routes, ServeOptions options, ServedModel model, ServerState state, PrometheusText metrics)
    {
        var anonymous = new AllowAnonymousAttribute();
        var health = new HealthRoutes(state, metrics);
        routes.MapGet("/livez", HealthRoutes.LiveAsync).WithMetadata(anonymous);
        routes.MapGet("/readyz", health.ReadyAsync).WithMetadata(anonymous);
        routes.MapGet("/health", health.ReadyAsync);
        routes.MapGet("/metrics", health.MetricsAsync);

        routes.MapGet("/status", new StatusRoute(model, state).SendAsync);
        PageFiles.Map(routes);

        var models = new ModelRoutes(model);
        routes.MapGet("/v1/models", models.ListAsync);
        routes.MapGet("/v1/models/{**id}", models.GetAsync);
        routes.MapPost("/tokenize", models.TokenizeAsync);
        routes.MapPost("/detokenize", models.DetokenizeAsync);

        var generation = new GenerationRoutes(model, routes.ServiceProvider.GetRequiredService<AnswerService>(), options.PingInterval);
        routes.MapPost("/v1/chat/completions", generation.ChatAsync);
        routes.MapPost("/v1/completions", generation.CompleteAsync);
        routes.MapGrpcService<InferenceService>();
    }
}
