using System.Diagnostics;
using Distributed.Collectives.Launching;
using Distributed.Protos;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Collectives.Tests;

public sealed class ProgressPageTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("distrun-progress-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Write_EachPhase_IsReadBack()
    {
        var writer = ProgressPageWriter.TryCreate(_folder, rank: 3, epoch: 2)!;
        using var page = Open(3);
        Assert.Equal((ProgressPhase.Joining, 0, Environment.ProcessId), Short(ProgressPage.TryRead(page, 2)!.Value));

        var began = Stopwatch.GetTimestamp();
        writer.Begin(Operation.AllReduce, new CollectiveOptions(Tag: 7), began);
        Assert.Equal(
            new ProgressSnapshot(ProgressPhase.InOperation, 1, began, "all-reduce", 7, Environment.ProcessId), ProgressPage.TryRead(page, 2));

        writer.End();
        Assert.Equal((ProgressPhase.BetweenOperations, 1, Environment.ProcessId), Short(ProgressPage.TryRead(page, 2)!.Value));

        writer.Begin(Operation.Broadcast, new CollectiveOptions { AwaitsWork = true }, began);
        Assert.Equal((ProgressPhase.AwaitingWork, 2, Environment.ProcessId), Short(ProgressPage.TryRead(page, 2)!.Value));

        writer.Dispose();
        Assert.Equal((ProgressPhase.Left, 2, Environment.ProcessId), Short(ProgressPage.TryRead(page, 2)!.Value));
    }

    /// <summary>Only two ranks take part in a message, so it must not set their numbers off from those of the others.</summary>
    [Fact]
    public void Begin_MessageOfTwoRanks_KeepsTheNumber()
    {
        using var writer = ProgressPageWriter.TryCreate(_folder, rank: 0, epoch: 0)!;
        writer.Begin(Operation.Barrier, default, 1);
        writer.End();
        writer.Begin(Operation.Send, default, 2);
        using var page = Open(0);
        Assert.Equal((ProgressPhase.InOperation, 1, Environment.ProcessId), Short(ProgressPage.TryRead(page, 0)!.Value));
    }

    [Fact]
    public async Task Read_WhileItIsWritten_IsNeverTorn()
    {
        using var writer = ProgressPageWriter.TryCreate(_folder, rank: 0, epoch: 0)!;
        using var page = Open(0);
        using var done = new CancellationTokenSource();
        var writing = Task.Factory.StartNew(
            () =>
            {
                for (var number = 1; !done.IsCancellationRequested; number++)
                {
                    writer.Begin(number % 2 == 0 ? Operation.AllReduce : Operation.AllGather, new CollectiveOptions((uint)number), number);
                    Thread.SpinWait(200);
                }
            },
            TaskCreationOptions.LongRunning);

        var seen = new HashSet<long>();
        var limit = Stopwatch.StartNew();
        for (var look = 0; look < 20_000 || (seen.Count <= 100 && limit.Elapsed < TimeSpan.FromSeconds(20)); look++)
        {
            if (ProgressPage.TryRead(page, 0) is { Sequence: > 0 } snapshot)
            {
                Assert.Equal((snapshot.Sequence, (uint)snapshot.Sequence), (snapshot.Since, snapshot.Tag));
                Assert.Equal(snapshot.Sequence % 2 == 0 ? "all-reduce" : "all-gather", snapshot.Operation);
                seen.Add(snapshot.Sequence);
            }
        }

        done.Cancel();
        await writing.DefaultTimeout();
        Assert.True(seen.Count > 100, $"only {seen.Count} different snapshots were seen");
    }

    [Fact]
    public void Read_NoSnapshotOfThisEpoch_IsNull()
    {
        var path = ProgressPage.PathOf(_folder, 0);
        var bytes = new byte[ProgressPage.ByteCount];
        using (ProgressPageWriter.TryCreate(_folder, rank: 0, epoch: 1)!)
        {
            using var page = Open(0);
            Assert.NotNull(ProgressPage.TryRead(page, 1));
            Assert.Null(ProgressPage.TryRead(page, 2));
            Assert.Equal(bytes.Length, RandomAccess.Read(page, bytes, 0));
        }

        Assert.False(File.Exists(path));
        bytes[8] |= 1; // The version of a writer that was stopped in the middle.
        File.WriteAllBytes(path, bytes);
        using (var page = Open(0))
        {
            Assert.Null(ProgressPage.TryRead(page, 1));
        }

        File.WriteAllBytes(path, bytes[..40]);
        using (var page = Open(0))
        {
            Assert.Null(ProgressPage.TryRead(page, 1));
        }
    }

    [Fact]
    public void Create_InAFolderThatIsNotThere_IsNone() => Assert.Null(ProgressPageWriter.TryCreate(Path.Combine(_folder, "missing"), 0, 0));

    [UnixFact]
    public async Task Group_OfAJob_PublishesItsOperations()
    {
        await using var job = await TestJob.StartAsync();
        var groups = await job.JoinAllAsync(2);
        using var page = File.OpenHandle(ProgressPage.PathOf(job.Directory, 1), share: FileShare.ReadWrite | FileShare.Delete);
        Assert.Equal((ProgressPhase.BetweenOperations, 1, "barrier"), Words(ProgressPage.TryRead(page, 0)!.Value));

        // Rank 1 waits for rank 0.
        var reducing = Task.Factory.StartNew(() => groups[1].AllReduce(new float[4], new CollectiveOptions(5)), TaskCreationOptions.LongRunning);
        while (ProgressPage.TryRead(page, 0) is not { Phase: ProgressPhase.InOperation })
        {
            await Task.Delay(1);
        }

        Assert.Equal((ProgressPhase.InOperation, 2, "all-reduce"), Words(ProgressPage.TryRead(page, 0)!.Value));
        groups[0].AllReduce(new float[4], new CollectiveOptions(5));
        await reducing.DefaultTimeout();
        Assert.Equal((ProgressPhase.BetweenOperations, 2, "all-reduce"), Words(ProgressPage.TryRead(page, 0)!.Value));

        foreach (var group in groups)
        {
            group.Dispose();
        }

        Assert.Equal(ProgressPhase.Left, ProgressPage.TryRead(page, 0)!.Value.Phase);
    }

    private static (ProgressPhase Phase, long Sequence, int ProcessId) Short(ProgressSnapshot snapshot)
        => (snapshot.Phase, snapshot.Sequence, snapshot.ProcessId);

    private static (ProgressPhase Phase, long Sequence, string Operation) Words(ProgressSnapshot snapshot)
        => (snapshot.Phase, snapshot.Sequence, snapshot.Operation);

    private SafeFileHandle Open(int rank)
        => File.OpenHandle(ProgressPage.PathOf(_folder, rank), share: FileShare.ReadWrite | FileShare.Delete);
}
