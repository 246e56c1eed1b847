using System.Net.Mime;
using System.Reflection;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Worker.Serving.Page;

/// <summary>
/// The page at <c>/</c> and the files under <c>/page/</c> that it is made of, which lie in the assembly. It runs its own scripts only, asks this server only,
/// and stands in no other page's frame.
/// </summary>
internal sealed class PageFiles
{
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    private const string Prefix = "Distributed.Worker.Page."; // of the resources' names

    private readonly byte[] _bytes;
    private readonly string _contentType;
    private readonly string _tag;

    private PageFiles(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(Prefix + name)!; // named by the assembly itself
        _bytes = new byte[stream.Length];
        stream.ReadExactly(_bytes);
        _contentType = Path.GetExtension(name) switch
        {
            ".html" => MediaTypeNames.Text.Html,
            ".css" => MediaTypeNames.Text.Css,
            ".js" => MediaTypeNames.Text.JavaScript,
            ".svg" => MediaTypeNames.Image.Svg,
            var other => throw new InvalidOperationException($"No content type for {other}."),
        } + "; charset=utf-8";
        _tag = $"\"{Convert.ToHexStringLower(SHA256.HashData(_bytes).AsSpan(0, 8))}\"";
    }

    /// <summary>Adds a route for each file.</summary>
    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var resource in Assembly.GetExecutingAssembly().GetManifestResourceNames().Where(resource => resource.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            var name = resource[Prefix.Length..];
            routes.MapGet(name == "index.html" ? "/" : $"/page/{name}", new PageFiles(name).SendAsync);
        }
    }

    private async Task SendAsync(HttpContext context)
    {
        var response = context.Response;
        response.Headers.ContentSecurityPolicy = Policy;
        response.Headers["Referrer-Policy"] = "no-referrer";
        response.Headers["Cross-Origin-Opener-Policy"] = "same-origin";
        response.Headers["Cross-Origin-Resource-Policy"] = "same-origin";
        response.Headers.CacheControl = "no-cache"; // kept, but asked for each time: a new version is seen at once
        response.Headers.ETag = _tag;
        if (context.Request.Headers.IfNoneMatch.Contains(_tag))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        response.ContentType = _contentType;
        response.ContentLength = _bytes.Length;
        await response.Body.WriteAsync(_bytes, context.RequestAborted);
    }
}
