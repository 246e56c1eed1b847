using System.Collections;
using System.Runtime.Versioning;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Tests.Jobs;

[SupportedOSPlatform("linux")]
public sealed class WorkerGroupTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The last rank dies while its streams are still being connected, then the first: each is watched from the moment in which it runs, so the
    /// order is the kernel's.
    /// </summary>
    [LinuxFact]
    public void Ranks_DieWhileTheyAreBeingStarted_ComeInTheOrderOfTheirDeaths()
    {
        using var deaths = PidfdDeathWatcher.TryCreate()!;
        using var group = new WorkerGroup(new Mailbox(), deaths, new SupervisorLimits(Limit, Limit, Limit), logs: null);
        group.Start(
            (localRank, watch) =>
            {
                var started = new List<Worker>(group.Workers);
                return Start(localRank, worker =>
                {
                    started.Add(worker);
                    watch(worker);
                }, connecting: () =>
                {
                    foreach (var worker in localRank == 0 ? [] : started.AsEnumerable().Reverse())
                    {
                        Assert.Equal(0, Posix.Kill(worker.Process.Id, Posix.SigKill));
                        Assert.True(SpinWait.SpinUntil(() => !Posix.IsAlive(worker.Process.Id), Limit));
                    }
                });
            },
            count: 2);

        Assert.Equal([1, 0], group.Supervise(_ => { }).Exits.Select(exit => exit.Rank));
    }

    private static Worker Start(int localRank, Action<Worker> watch, Action connecting)
    {
        var environment = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(entry => (string)entry.Key, entry => (string)entry.Value!);
        var command = new ChildCommand("/bin/sleep", ["300"], environment, ChildInput.Empty);
        var console = new ConsoleOutput(Stream.Null, Stream.Null, sameTerminal: false);
        return new Worker(localRank, localRank, command, guardian: null, console, Routes, envelope: null, watch);

        (StreamRoute Out, StreamRoute Error) Routes(TailBuffer tail)
        {
            connecting();
            return (new StreamRoute(), new StreamRoute { Tail = tail });
        }
    }
}
