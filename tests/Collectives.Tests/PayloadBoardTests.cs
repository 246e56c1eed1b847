using System.IO.MemoryMappedFiles;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;

namespace Distributed.Collectives.Tests;

/// <summary>What a rank writes once for several peers: who reads it, when its place is free again, and what a peer can make of it.</summary>
public sealed class PayloadBoardTests : IDisposable
{
    private readonly List<SharedMemoryOffer> _memory = [];
    private readonly RunningOperation _operation = new(rank: 0);

    public PayloadBoardTests() => _operation.Begin("Broadcast", Operation.Broadcast, new CollectiveOptions(Timeout: TimeSpan.FromSeconds(5)));

    public void Dispose()
    {
        _memory.ForEach(memory => memory.Dispose());
        _operation.Dispose();
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public async Task Join_OfMoreThanTwoRanksOfAHost_ReadsTheBoardOfEachPeer(int worldSize, bool hasBoards)
    {
        await using var world = await TestWorld.StartAsync("shared memory", worldSize);
        Assert.All(world.Ranks, group => Assert.All(((PeerProcessGroup)group).Transports, transport => Assert.Equal(hasBoards, transport.BoardReader is not null)));
    }

    [Fact]
    public async Task Broadcast_WhileOneOfTheOthersIsFarBehind_WaitsForNobodyWhoIsNotInIt()
    {
        // Rank 2 receives its first broadcast when the other two have had forty that it is not in: its place on the board of rank 0 stays taken.
        await using var world = await TestWorld.StartAsync("shared memory", 4);
        RankThreads.Run(world.Ranks, group =>
        {
            var values = new byte[5000];
            if (group.Rank == 2)
            {
                group.Receive(new byte[1], peer: 1);
            }

            Broadcast(group, 200);
            if (group.Subgroup(0, 1, 3) is { } others)
            {
                for (var i = 0; i < 40; i++)
                {
                    Broadcast(others, i);
                }
            }

            if (group.Rank == 1)
            {
                group.Send((byte[])[1], peer: 2);
            }

            void Broadcast(ProcessGroup ranks, int number)
            {
                values.AsSpan().Fill((byte)(ranks.Rank == 0 ? number : 255));
                ranks.Broadcast(values, root: 0);
                Assert.Equal(-1, values.AsSpan().IndexOfAnyExcept((byte)number));
            }
        });
    }

    [Fact]
    public void Put_ForTwoReaders_LiesStillUntilBothHaveGivenItBack()
    {
        var memory = Memory(SharedMemoryKind.Board);
        SegmentRing[] rings = [Ring(), Ring()];
        Array.ForEach(rings, ring => ring.ReadBoard(memory));
        var board = memory.Board;
        var payload = new byte[1000];
        for (var i = 0; i < PayloadBoard.PlaceCount; i++)
        {
            Send(i);
        }

        Receive(rings[0], 0);
        Assert.Equal(PayloadBoard.Nowhere, board.TryPut(payload, rings)); // the other one has not read it
        Receive(rings[1], 0);
        Send(99);
        for (var i = 1; i <= PayloadBoard.PlaceCount; i++)
        {
            Array.ForEach(rings, ring => Receive(ring, i < PayloadBoard.PlaceCount ? i : 99));
        }

        void Send(int number)
        {
            payload.AsSpan().Fill((byte)number);
            var place = board.TryPut(payload, rings);
            Assert.NotEqual(PayloadBoard.Nowhere, place);
            Array.ForEach(rings, ring => Assert.True(ring.TrySend(default, payload, _operation, place)));
        }

        void Receive(SegmentRing ring, int number)
        {
            Assert.True(ring.TryReceive(_operation, out _, out var received));
            Assert.Equal(1000, received.Length);
            Assert.Equal(-1, received.IndexOfAnyExcept((byte)number));
            ring.Release();
        }
    }

    [Theory]
    [InlineData(PayloadBoard.PlaceCount, true)]
    [InlineData(4000, true)]
    [InlineData(0, false)]
    public void Receive_OfAPlaceThatIsNone_HasNoPayload(int place, bool hasBoard)
    {
        var ring = Ring();
        ring.ReadBoard(hasBoard ? Memory(SharedMemoryKind.Board) : null);
        Assert.True(ring.TrySend(default, new byte[1000], _operation, place));
        Assert.True(ring.TryReceive(_operation, out _, out var payload));
        Assert.Equal(0, payload.Length);
    }

    [Fact]
    public void Open_OfABoard_IsForReadingAlone()
    {
        if (!Platform.UsesLinux)
        {
            return; // elsewhere its file is open to the job's own processes
        }

        var offer = SharedMemoryRegion.TryCreate(Path.GetTempPath(), SharedMemoryKind.Board)!;
        _memory.Add(offer);
        Assert.NotNull(SharedMemoryRegion.TryOpen(Path.GetTempPath(), offer.Message, SharedMemoryKind.Board));
        using var file = File.OpenHandle(
            $"/proc/{offer.Message.ProcessId}/fd/{offer.Message.FileNumber}", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        Assert.ThrowsAny<Exception>(() => RandomAccess.Write(file, [1], fileOffset: 0));
        Assert.ThrowsAny<Exception>(() =>
        {
            using var mapping = MemoryMappedFile.CreateFromFile(
                file, mapName: null, (long)offer.Message.ByteCount, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
            using var view = mapping.CreateViewAccessor(0, (long)offer.Message.ByteCount);
        });
    }

    private SegmentRing Ring() => Memory(SharedMemoryKind.Pair).Rings.Up;

    private SharedMemoryRegion Memory(SharedMemoryKind kind)
    {
        _memory.Add(SharedMemoryRegion.TryCreate(Path.GetTempPath(), kind)!);
        return _memory[^1].Region;
    }
}
