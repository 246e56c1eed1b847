using System.Diagnostics;
using System.Globalization;
using Distributed.Worker.Serving.Responses;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// Spans of OpenTelemetry's: of each HTTP request, which continues the client's <c>traceparent</c>, and within it of each answer, with the attributes of the semantic
/// conventions for generative AI. Without a listener there are none, and nothing is spent.
/// </summary>
internal static class ServingTraces
{
    /// <summary>The name of the source of answers.</summary>
    public const string SourceName = "Distributed.Worker.Serving";

    /// <summary>The framework's source of HTTP requests.</summary>
    public const string HttpSourceName = "Microsoft.AspNetCore";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>An answer begins; <see langword="null"/> where nobody listens.</summary>
    /// <param name="operation"><c>chat</c> or <c>text_completion</c>.</param>
    /// <param name="model">The model's name.</param>
    public static Activity? BeginAnswer(string operation, string model)
        => Source.StartActivity($"{operation} {model}")
            ?.SetTag("gen_ai.operation.name", operation)
            .SetTag("gen_ai.provider.name", "distributed")
            .SetTag("gen_ai.request.model", model);

    /// <summary>Its first token was told.</summary>
    public static void NoteFirstToken(Activity? answer) => answer?.AddEvent(new ActivityEvent("gen_ai.first_token"));

    /// <summary>It has ended, or was given up.</summary>
    /// <param name="answer">What <see cref="BeginAnswer"/> gave.</param>
    /// <param name="usage">What it cost.</param>
    /// <param name="finishReasons">Of the choices that have ended, as the API names them.</param>
    /// <param name="failure">Why it failed; <see langword="null"/> where it did not.</param>
    public static void EndAnswer(Activity? answer, Usage usage, IReadOnlyCollection<string> finishReasons, Exception? failure)
    {
        if (answer is null or { IsStopped: true })
        {
            return;
        }

        answer.SetTag("gen_ai.usage.input_tokens", usage.PromptTokens)
            .SetTag("gen_ai.usage.output_tokens", usage.CompletionTokens)
            .SetTag("gen_ai.response.finish_reasons", finishReasons.ToArray());
        if (failure is not null)
        {
            answer.SetTag("error.type", failure.GetType().Name).SetStatus(ActivityStatusCode.Error);
        }

        answer.Dispose();
    }

    /// <summary>A request was answered. Those of supervisors, who ask every few seconds, are not recorded.</summary>
    public static void EndRequest(HttpContext context)
    {
        if (context.Features.Get<IHttpActivityFeature>()?.Activity is not { IsAllDataRequested: true } request)
        {
            return;
        }

        var endpoint = context.GetEndpoint();
        if (endpoint?.Metadata.GetMetadata<IAllowAnonymous>() is not null)
        {
            request.IsAllDataRequested = false;
            request.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            return;
        }

        var route = (endpoint as RouteEndpoint)?.RoutePattern.RawText;
        request.DisplayName = route is null ? context.Request.Method : $"{context.Request.Method} {route}";
        request.SetTag("http.request.method", context.Request.Method)
            .SetTag("http.response.status_code", context.Response.StatusCode)
            .SetTag("http.route", route);
        if (context.Response.StatusCode >= StatusCodes.Status500InternalServerError)
        {
            request.SetTag("error.type", context.Response.StatusCode.ToString(CultureInfo.InvariantCulture)).SetStatus(ActivityStatusCode.Error);
        }
    }
}
