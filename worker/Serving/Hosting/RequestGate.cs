using System.Net;
using Distributed.Worker.Serving.Requests;
using Distributed.Worker.Serving.Responses;
using Distributed.Worker.Serving.Routes;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// What every request passes: only known hosts, only those who have a key, and whatever goes wrong behind is one error in OpenAI's form, without anything of this
/// machine in it.
/// </summary>
/// <param name="keys">Who may come in.</param>
/// <param name="hosts">Under which names.</param>
/// <param name="log">Takes what the client is not told.</param>
internal sealed class RequestGate(ApiKeys keys, AllowedHosts hosts, TextWriter log)
{
    /// <summary>Lets a request through to its route, which routing has found, or answers it.</summary>
    public async Task PassAsync(HttpContext context, RequestDelegate next)
    {
        var response = context.Response;
        response.Headers.XContentTypeOptions = "nosniff";
        try
        {
            Admit(context);
            await next(context);
            if (!response.HasStarted && response.StatusCode is StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed)
            {
                await JsonResponse.SendErrorAsync(response, Nowhere(context));
            }
        }
        catch (Exception exception) when (context.RequestAborted.IsCancellationRequested && exception is (OperationCanceledException or IOException))
        {
            // Nobody is there to be told.
        }
        catch (Exception exception) when (response.HasStarted)
        {
            _ = Incident.Tell(log, exception);
            context.Abort(); // so that half an answer is not taken for a whole one
        }
        catch (Exception exception)
        {
            await RefuseAsync(context, exception);
        }
        finally
        {
            ServingMetrics.Answered(context);
            ServingTraces.EndRequest(context);
        }
    }

    private void Admit(HttpContext context)
    {
        if (!hosts.Contains(context.Request.Host))
        {
            throw ApiException.Request(HttpStatusCode.BadRequest, "The Host header names a host that this server does not answer for; it is started with --allowed-hosts NAME for others.", "invalid_host");
        }

        var isOpen = context.GetEndpoint()?.Metadata.GetMetadata<IAllowAnonymous>() is not null;
        var client = keys.ClientOf(context.Request.Headers.Authorization);
        if (client is null && !isOpen)
        {
            throw ApiException.Unauthorized();
        }

        Client.Set(context, client ?? "");
    }

    private async Task RefuseAsync(HttpContext context, Exception exception)
    {
        var error = exception switch
        {
            ApiException known => known,
            BadHttpRequestException bad => ApiException.Request((HttpStatusCode)bad.StatusCode, "The request could not be read to its end."),
            _ => ApiException.Internal(Incident.Tell(log, exception)),
        };
        var response = context.Response;
        response.Clear();
        response.Headers.XContentTypeOptions = "nosniff";
        if (error.Status == HttpStatusCode.Unauthorized)
        {
            // A browser that opens the page asks for the key: it is the password, with any name.
            response.Headers.WWWAuthenticate = context.Request.Path == "/" ? "Basic realm=\"API key\", charset=\"UTF-8\"" : "Bearer";
        }

        await JsonResponse.SendErrorAsync(response, error);
    }

    private static ApiException Nowhere(HttpContext context) => context.Response.StatusCode == StatusCodes.Status404NotFound
        ? ApiException.Request(HttpStatusCode.NotFound, "There is no such route; the API is under /v1, and GET /v1/models answers.", "unknown_url")
        : ApiException.Request(HttpStatusCode.MethodNotAllowed, $"This route does not take {context.Request.Method}.", "method_not_allowed");
}
