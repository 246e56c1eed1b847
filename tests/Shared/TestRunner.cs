using Xunit.MicrosoftTestingPlatform;
using Xunit.Runner.InProc.SystemConsole;

namespace Distributed.Tests;

/// <summary>What a test project's own Main calls when it is not started as one of its programs.</summary>
internal static class TestRunner
{
    /// <summary>Runs the tests of this assembly: for <c>dotnet test</c>, which talks to it as a server, or as xunit's console program.</summary>
    /// <returns>The exit code.</returns>
    public static Task<int> RunAsync(string[] args)
        => args.Contains("--server") ? TestPlatformTestFramework.RunAsync(args, static (_, _) => { }) : ConsoleRunner.Run(args);
}
