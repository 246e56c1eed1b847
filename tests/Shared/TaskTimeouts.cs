using System.Runtime.CompilerServices;

namespace Distributed.Tests;

/// <summary>Every await of a test has a limit, so that a hang is a named failing line: far beyond what a busy machine needs, as it asserts no speed.</summary>
internal static class TaskTimeouts
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(100);

    public static async Task DefaultTimeout(
        this Task task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        try
        {
            await task.WaitAsync(Limit);
        }
        catch (TimeoutException) when (!task.IsCompleted)
        {
            throw new TimeoutException($"{Path.GetFileName(file)}:{line} did not finish in {Limit.TotalSeconds} s.");
        }
    }

    public static async Task<T> DefaultTimeout<T>(
        this Task<T> task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        await ((Task)task).DefaultTimeout(file, line);
        return await task;
    }
}
