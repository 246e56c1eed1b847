using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Tests;

/// <summary>What the tests start as a worker that knows the launcher's contract: this assembly, run as a program.</summary>
public static class TestProgram
{
    /// <summary>The program, started as <c>TestProgram attach</c>.</summary>
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "Launcher.Tests");

    public static int Main(string[] args)
    {
        ArgumentNullException.ThrowIfNull(args);
        switch (args)
        {
            case ["processors"]:
                Console.WriteLine($"{Environment.ProcessorCount} {Environment.GetEnvironmentVariable("OMP_NUM_THREADS")}");
                return ExitCodes.Success;
            case ["attach"]:
                return Attach(echo: true, end: false);
            case ["attach-and-end"]:
                return Attach(echo: true, end: true);
            case ["attach-and-never-read"]:
                return Attach(echo: false, end: false);
            default:
                Console.Error.WriteLine("This is a test assembly; run it with dotnet test.");
                return ExitCodes.BadInput;
        }
    }

    private static int Attach(bool echo, bool end)
    {
        LauncherLink link;
        try
        {
            link = LauncherLink.Attach(RankEnvironment.FromProcess());
        }
        catch (RankEnvironmentException exception)
        {
            Console.Error.WriteLine(exception.Message);
            return ExitCodes.BadInput;
        }

        Console.WriteLine($"attached as rank {link.Envelope?.Rank}, terminal {link.UserInputIsTerminal}, console {Console.In.ReadLine() ?? "empty"}");
        if (echo)
        {
            using var reader = new StreamReader(link.UserInput);
            while (reader.ReadLine() is { } line)
            {
                Console.WriteLine($"read {line}");
            }

            Console.WriteLine("input ended");
        }

        if (!end)
        {
            Thread.Sleep(Timeout.Infinite);
        }

        return ExitCodes.Success;
    }
}
