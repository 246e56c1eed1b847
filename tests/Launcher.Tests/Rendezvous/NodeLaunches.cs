using System.Diagnostics;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>
/// What the tests with real launchers on several nodes share. The tests are in several classes because most of their time is spent waiting,
/// and the classes run at the same time.
/// </summary>
internal static class NodeLaunches
{
    private const string Quick = "last_call_timeout=1,keep_alive_interval=0.5,keep_alive_max_attempt=6,close_timeout=1";

    public static string[] C10d(NodeWorld world, object nodes, params string[] rest)
        => ["--nnodes", $"{nodes}", "--rdzv-backend", "c10d", "--rdzv-endpoint", $"{world.Address(0)}:29400", "--rdzv-conf", Quick, .. rest];

    public static async Task<(LaunchResult First, LaunchResult Second)> Run(NodeWorld world, string firstName, string secondName, string[] arguments)
    {
        using var first = world.Start(0, firstName, arguments);
        using var second = world.Start(1, secondName, arguments);
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(second));
        return (results[0], results[1]);
    }

    public static async Task<string?> ReadUntil(Process launch, string text)
    {
        while (await launch.StandardError.ReadLineAsync().DefaultTimeout() is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return line;
            }
        }

        return null;
    }

    public static string RootCause(LaunchResult result)
    {
        var start = result.Error.IndexOf("Root Cause (first observed failure):", StringComparison.Ordinal);
        Assert.True(start >= 0, result.Error);
        return result.Error[start..result.Error.IndexOf("\n====", start, StringComparison.Ordinal)];
    }
}
