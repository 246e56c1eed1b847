using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Routes;

/// <summary>Whose request it is.</summary>
internal static class Client
{
    private static readonly object Key = new();

    /// <summary>The client that was found by its key.</summary>
    public static string Of(HttpContext context) => (string)context.Items[Key]!; // every request that comes to a route has one

    /// <summary>Notes it.</summary>
    public static void Set(HttpContext context, string client) => context.Items[Key] = client;
}
