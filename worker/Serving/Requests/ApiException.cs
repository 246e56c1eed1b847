using System.Globalization;
using System.Net;

namespace Distributed.Worker.Serving.Requests;

/// <summary>A request that is answered with an error, in the form of OpenAI's API: <c>{"error":{"message","type","param","code"}}</c>.</summary>
/// <param name="status">The HTTP status.</param>
/// <param name="type">OpenAI's kind of error: <c>invalid_request_error</c>.</param>
/// <param name="message">One sentence for whoever wrote the client: value, rule, next step. It names nothing of this machine.</param>
/// <param name="param">The field that is wrong, <c>messages[2].content</c>; <see langword="null"/> for none.</param>
/// <param name="code">A word that programs can compare; <see langword="null"/> for none.</param>
internal sealed class ApiException(HttpStatusCode status, string type, string message, string? param = null, string? code = null)
    : Exception(message)
{
    private const string InvalidRequest = "invalid_request_error";

    /// <summary>The HTTP status.</summary>
    public HttpStatusCode Status => status;

    /// <summary>OpenAI's kind of error.</summary>
    public string Type => type;

    /// <summary>The field that is wrong.</summary>
    public string? Param => param;

    /// <summary>A word that programs can compare.</summary>
    public string? Code => code;

    /// <summary>After how many seconds it is worth to try again; <see langword="null"/> where time changes nothing.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>A field whose value cannot be used.</summary>
    public static ApiException Field(string param, string message, string? code = null)
        => new(HttpStatusCode.BadRequest, InvalidRequest, message, param, code);

    /// <summary>A request that is not understood as a whole.</summary>
    public static ApiException Request(HttpStatusCode status, string message, string? code = null)
        => new(status, InvalidRequest, message, param: null, code);

    /// <summary>The key is missing or wrong.</summary>
    public static ApiException Unauthorized()
        => new(
            HttpStatusCode.Unauthorized,
            "authentication_error",
            "The API key is missing or wrong; send it as \"Authorization: Bearer KEY\".",
            code: "invalid_api_key");

    /// <summary>The server cannot take it now.</summary>
    public static ApiException Unavailable(string message, string code, int? retryAfterSeconds = null)
        => new(HttpStatusCode.ServiceUnavailable, "unavailable_error", message, code: code) { RetryAfterSeconds = retryAfterSeconds };

    /// <summary>This client has too much under way.</summary>
    public static ApiException TooMany(string message, int retryAfterSeconds)
        => new(HttpStatusCode.TooManyRequests, "rate_limit_error", message, code: "rate_limit_exceeded") { RetryAfterSeconds = retryAfterSeconds };

    /// <summary>The answer took too long.</summary>
    public static ApiException TimedOut(TimeSpan limit)
        => new(
            HttpStatusCode.GatewayTimeout,
            "server_error",
            string.Create(CultureInfo.InvariantCulture, $"The answer was not complete after {limit.TotalSeconds} s, which is all that a request may take here; ask for fewer max_tokens."),
            code: "timeout");

    /// <summary>A fault of the server, of which the client learns a number to quote and no more.</summary>
    public static ApiException Internal(string reference)
        => new(HttpStatusCode.InternalServerError, "server_error", $"The server failed; its log says more under {reference}.", code: "internal_error");
}
