using System.Diagnostics;

namespace Distributed.Worker.Tests;

/// <summary>What a run of the worker left.</summary>
internal sealed record WorkerOutcome(int ExitCode, string Output, string Error);

/// <summary>Runs the worker as a process.</summary>
internal static class WorkerProgram
{
    public static Task<WorkerOutcome> RunAsync(params string[] arguments) => RunAsync(arguments, "", []);

    public static async Task<WorkerOutcome> RunAsync(string[] arguments, string input, Dictionary<string, string> environment)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "worker"), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var name in new[] { "RANK", "WORLD_SIZE", "DISTRUN_PREFLIGHT" })
        {
            start.Environment.Remove(name);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEndAsync();
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync().DefaultTimeout();
            return new WorkerOutcome(process.ExitCode, await output.DefaultTimeout(), await error.DefaultTimeout());
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }
        }
    }
}
