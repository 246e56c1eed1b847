using System.Diagnostics;
using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Transports;
using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;

namespace Distributed.Collectives.Tests;

/// <summary>How two ranks come to share memory, and what the rings in it do.</summary>
public sealed class SharedMemoryTests
{
    [Theory]
    [InlineData(TransportChoice.Automatic, TransportChoice.Grpc)]
    [InlineData(TransportChoice.Grpc, TransportChoice.Automatic)]
    public async Task Join_OneOfTwoWantsGrpc_IsGrpcOnBothSides(TransportChoice lower, TransportChoice higher)
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(2, options: rank => new PeerRendezvousOptions { Transport = rank == 0 ? lower : higher });
        Assert.All(world, group => Assert.Equal("gRPC over Unix sockets, 2 ranks on this host", group.TransportDescription));
        RankThreads.Run(world, group => OperationChecks.AllReduce(group, 100_001));
    }

    [Theory]
    [InlineData(TransportChoice.SharedMemory, TransportChoice.Grpc, "Rank 1 cannot connect to rank 0|lost rank 0")]
    [InlineData(TransportChoice.Grpc, TransportChoice.SharedMemory, "Rank 1 has to share memory with rank 0")]
    public async Task Join_OneMustShareMemoryAndTheOtherDoesNot_IsRefused(TransportChoice lower, TransportChoice higher, string expected)
    {
        await using var job = await TestJob.StartAsync();
        var quick = TimeSpan.FromSeconds(10);
        var zero = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), new PeerRendezvousOptions { Transport = lower, Timeout = quick });
        var one = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), new PeerRendezvousOptions { Transport = higher, Timeout = quick });

        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => one).DefaultTimeout();
        Assert.Matches(expected, error.Message);
        await Assert.ThrowsAnyAsync<RendezvousException>(() => zero).DefaultTimeout();
    }

    [Fact]
    public async Task Join_BySharedMemory_LeavesNoNameOfIt()
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(3, options: _ => new PeerRendezvousOptions { Transport = TransportChoice.SharedMemory });
        Assert.Equal(
            ["progress.0", "progress.1", "progress.2", "r0.sock", "r1.sock", "store.sock"],
            Directory.GetFileSystemEntries(job.Directory).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        RankThreads.Run(world, group => group.Barrier());
    }

    [Theory]
    [InlineData("nonce")]
    [InlineData("length")]
    [InlineData("file")]
    public void Open_OfWhatWasNotOffered_IsRefused(string difference)
    {
        var directory = Directory.CreateTempSubdirectory("distrun-").FullName;
        using (var offer = SharedMemoryRegion.TryCreate(directory, SharedMemoryKind.Pair)!)
        {
            Assert.NotNull(SharedMemoryRegion.TryOpen(directory, offer.Message, SharedMemoryKind.Pair));
            var message = offer.Message.Clone();
            switch (difference)
            {
                case "nonce": message.Nonce = Google.Protobuf.ByteString.CopyFrom(new byte[32]); break;
                case "length": message.ByteCount--; break;
                case "file": (message.FileNumber, message.Nonce) = (1, Google.Protobuf.ByteString.CopyFrom(new byte[32])); break;
            }

            Assert.Null(SharedMemoryRegion.TryOpen(directory, message, SharedMemoryKind.Pair));
        }

        Assert.Empty(Directory.GetFileSystemEntries(directory));
        Directory.Delete(directory);
    }

    [Fact]
    public void Open_OfAFileThatItsOwnerCanCutShort_IsRefused()
    {
        if (!Platform.UsesLinux)
        {
            return; // elsewhere it is a file, in a directory that is the job's alone
        }

        using var offer = SharedMemoryRegion.TryCreate(Path.GetTempPath(), SharedMemoryKind.Pair)!;
        var nonce = offer.Message.Nonce.ToByteArray();
        using var file = File.OpenHandle(
            Path.GetTempFileName(), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, FileOptions.DeleteOnClose);
        RandomAccess.SetLength(file, (long)offer.Message.ByteCount);
        RandomAccess.Write(file, nonce, fileOffset: 0);
        var message = offer.Message.Clone();
        message.FileNumber = (uint)file.DangerousGetHandle();
        Assert.Null(SharedMemoryRegion.TryOpen(Path.GetTempPath(), message, SharedMemoryKind.Pair));
    }

    [Fact]
    public void Transport_OfAnUnknownName_IsRefused()
    {
        Assert.Null(TransportNames.Parse("nccl"));
        Assert.Equal(TransportChoice.SharedMemory, TransportNames.Parse("shm"));
        Assert.Equal(TransportChoice.Grpc, TransportNames.Parse("grpc"));
        Assert.Equal(TransportChoice.Automatic, TransportNames.Parse("auto"));
    }

    [Fact]
    public void Ring_WithoutWaiting_HoldsSixteenSegmentsInOrder()
    {
        var (ring, operation) = (Ring(), Begun(TimeSpan.FromMilliseconds(50)));
        for (var i = 0; i < SegmentRing.SlotCount; i++)
        {
            Assert.True(ring.TrySend(new SegmentHeader(Operation.Send, (uint)i, 0, i), new byte[i], operation));
        }

        Assert.False(ring.TrySend(default, [], operation)); // the limit passes
        for (var i = 0; i < SegmentRing.SlotCount; i++)
        {
            Assert.True(ring.TryReceive(operation, out var header, out var payload));
            Assert.Equal(new SegmentHeader(Operation.Send, (uint)i, (ulong)i, i), header);
            Assert.Equal(i, payload.Length);
            ring.Release();
        }

        Assert.False(ring.TryReceive(operation, out _, out _));
    }

    [Theory]
    [InlineData("send")]
    [InlineData("receive")]
    public void Ring_ClosedWhileAThreadIsParked_EndsTheWaitAtOnce(string side)
    {
        var (ring, operation) = (Ring(), Begun(TimeSpan.FromSeconds(60)));
        for (var i = 0; side == "send" && i < SegmentRing.SlotCount; i++)
        {
            Assert.True(ring.TrySend(default, [], operation));
        }

        var watch = Stopwatch.StartNew();
        var closing = new Thread(() =>
        {
            Thread.Sleep(100);
            ring.Close();
        });
        closing.Start();
        Assert.False(side == "send" ? ring.TrySend(default, [], operation) : ring.TryReceive(operation, out _, out _));
        closing.Join();
        Assert.InRange(watch.Elapsed, TimeSpan.FromMilliseconds(90), TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void Ring_ClosedAfterASend_StillHasWhatWasSent()
    {
        var (ring, operation) = (Ring(), Begun(TimeSpan.FromSeconds(20)));
        Assert.True(ring.TrySend(default, [7], operation));
        ring.Close();
        Assert.True(ring.TryReceive(operation, out _, out var payload));
        Assert.Equal((byte[])[7], payload.ToArray());
        ring.Release();
        Assert.False(ring.TryReceive(operation, out _, out _));
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(17ul)]
    [InlineData(0ul)]
    public unsafe void Ring_WhosePeerSaysItHasConsumedAnything_StillSendsAndEnds(ulong consumed)
    {
        var start = (byte*)NativeMemory.AllocZeroed((nuint)SegmentRing.ByteCount);
        var (ring, operation) = (new SegmentRing(start), Begun(TimeSpan.FromMilliseconds(50)));
        var sent = 0;
        *(ulong*)start = consumed;
        while (sent < 5 * SegmentRing.SlotCount && ring.TrySend(default, [1], operation))
        {
            sent++;
        }

        // It believes what can be: no more than it has sent.
        Assert.Equal((int)Math.Min(Math.Min(consumed, 1000) + SegmentRing.SlotCount, 5 * SegmentRing.SlotCount), sent);
        NativeMemory.Free(start);
    }

    [Fact]
    public void Ring_BetweenTwoThreadsThatPause_LosesNoSegmentAndNoWakeUp()
    {
        // Pauses around the times of spinning, yielding and parking: a lost wake-up would cost half a second each.
        const int Count = 20_000;
        var (ring, operation) = (Ring(), Begun(TimeSpan.FromSeconds(60)));
        var sender = new Thread(() =>
        {
            var random = new Random(1);
            var payload = new byte[sizeof(int)];
            for (var i = 0; i < Count; i++)
            {
                BitConverter.TryWriteBytes(payload, i);
                Assert.True(ring.TrySend(default, payload, operation));
                Pause(random);
            }
        });
        var watch = Stopwatch.StartNew();
        sender.Start();
        var random = new Random(2);
        for (var i = 0; i < Count; i++)
        {
            Assert.True(ring.TryReceive(operation, out _, out var payload));
            Assert.Equal(i, BitConverter.ToInt32(payload));
            ring.Release();
            Pause(random);
        }

        sender.Join();
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(40));
    }

    private static void Pause(Random random)
    {
        if (random.Next(50) == 0)
        {
            Thread.SpinWait(random.Next(5000));
        }
    }

    private static RunningOperation Begun(TimeSpan limit)
    {
        var operation = new RunningOperation(rank: 0);
        operation.Begin("Send", Operation.Send, new CollectiveOptions(Timeout: limit));
        return operation;
    }

    private static SegmentRing Ring()
    {
        using var offer = SharedMemoryRegion.TryCreate(Path.GetTempPath(), SharedMemoryKind.Pair)!;
        Regions.Add(offer.Region);
        return offer.Region.Rings.Up;
    }

    // A ring does not hold its memory.
    private static readonly List<SharedMemoryRegion> Regions = [];
}
