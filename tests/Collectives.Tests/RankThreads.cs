using System.Runtime.ExceptionServices;

namespace Distributed.Collectives.Tests;

/// <summary>Runs a program on every rank of a world, one thread a rank.</summary>
internal static class RankThreads
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(100);

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
        // The ranks leave together, as processes end: one rank's leaving waits for the others' answers.
        using var done = new Barrier(world.Length);
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

            if (done.SignalAndWait(Limit))
            {
                group.Dispose();
            }
        })
        { IsBackground = true, Name = $"rank {group.Rank}" }).ToArray();

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => Assert.True(thread.Join(Limit + Limit), $"{thread.Name} still runs after {2 * Limit.TotalSeconds} s."));
        return errors;
    }
}
