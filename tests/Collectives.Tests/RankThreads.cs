using System.Runtime.ExceptionServices;

namespace Distributed.Collectives.Tests;

/// <summary>Runs a program on every rank of a world, one thread a rank.</summary>
internal static class RankThreads
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>Runs <paramref name="program"/> on every rank and disposes the groups; rethrows the error of the lowest rank that has one.</summary>
    public static void Run(ProcessGroup[] world, Action<ProcessGroup> program)
    {
        if (Catch(world, program).FirstOrDefault(error => error is not null) is { } first)
        {
            ExceptionDispatchInfo.Throw(first);
        }
    }

    /// <summary>Runs <paramref name="program"/> on every rank, disposes the groups once all have ended, and returns each rank's error.</summary>
    public static Exception?[] Catch(ProcessGroup[] world, Action<ProcessGroup> program)
    {
        var errors = new Exception?[world.Length];
        var threads = world.Select(group => new Thread(() =>
        {
            try
            {
                program(group);
            }
#pragma warning disable CA1031 // Every error is the test's to judge.
            catch (Exception error)
#pragma warning restore CA1031
            {
                errors[group.Rank] = error;
            }
        })
        { IsBackground = true, Name = $"rank {group.Rank}" }).ToArray();

        Array.ForEach(threads, thread => thread.Start());
        var deadline = DateTime.UtcNow + Limit;
        foreach (var thread in threads)
        {
            var left = deadline - DateTime.UtcNow;
            Assert.True(thread.Join(left > TimeSpan.Zero ? left : TimeSpan.Zero), $"{thread.Name} still runs after {Limit.TotalSeconds} s.");
        }

        // Together, as processes end: one rank's leaving waits for the others' answers.
        Task.WaitAll([.. world.Select(group => Task.Run(group.Dispose))], Limit);
        return errors;
    }
}
