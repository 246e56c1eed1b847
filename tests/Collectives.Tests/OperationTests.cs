namespace Distributed.Collectives.Tests;

/// <summary>Every operation over world sizes and lengths, on threads and the in-memory transport.</summary>
public sealed class OperationTests
{
    public static TheoryData<int, int> Grid()
    {
        var grid = new TheoryData<int, int>();
        foreach (var worldSize in new[] { 1, 2, 3, 4, 5, 8 })
        {
            // 0 and 1; less than a vector; odd; one element more than a segment; over 1 MiB and odd.
            foreach (var length in new[] { 0, 1, 7, 1001, (64 << 8) + 1, (1 << 18) + 77 })
            {
                grid.Add(worldSize, length);
            }
        }

        return grid;
    }

    [Theory]
    [MemberData(nameof(Grid))]
    public void AllReduce_AnyWorldAndLength_SumsByTheCanonicalTreeOnEveryRank(int worldSize, int length)
        => RankThreads.Run(InMemoryWorld.Create(worldSize), group => OperationChecks.AllReduce(group, length));

    [Theory]
    [MemberData(nameof(Grid))]
    public void AllGather_AnyWorldAndLength_HasEveryPartOnEveryRank(int worldSize, int length)
        => RankThreads.Run(InMemoryWorld.Create(worldSize), group => OperationChecks.AllGather(group, length));

    [Theory]
    [MemberData(nameof(Grid))]
    public void Gather_AnyWorldAndLength_HasEveryPartOnTheRoot(int worldSize, int length)
        => RankThreads.Run(InMemoryWorld.Create(worldSize), group => OperationChecks.Gather(group, length));

    [Theory]
    [MemberData(nameof(Grid))]
    public void Broadcast_AnyWorldAndLength_HasTheRootsValuesOnEveryRank(int worldSize, int length)
        => RankThreads.Run(InMemoryWorld.Create(worldSize), group => OperationChecks.Broadcast(group, length));

    [Theory]
    [MemberData(nameof(Grid))]
    public void SendAndReceive_AroundARing_CarryTheMessage(int worldSize, int length)
    {
        if (worldSize > 1)
        {
            RankThreads.Run(InMemoryWorld.Create(worldSize), group => OperationChecks.SendAndReceive(group, length));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    public void Barrier_RanksArriveAtDifferentTimes_NonePassesEarly(int worldSize)
        => RankThreads.Run(InMemoryWorld.Create(worldSize), OperationChecks.Barrier());

    [Fact]
    public void Send_OfOneMebibyteFromBothSidesAtOnce_DoesNotDeadlock()
        => RankThreads.Run(InMemoryWorld.Create(2), group =>
        {
            // Both send before either receives: a mebibyte fits between two ranks.
            var sent = new byte[1 << 20];
            sent.AsSpan().Fill((byte)(group.Rank + 1));
            var received = new byte[sent.Length];
            group.Send(sent, 1 - group.Rank);
            group.Receive(received, 1 - group.Rank);
            Assert.Equal(-1, received.AsSpan().IndexOfAnyExcept((byte)(2 - group.Rank)));
        });
}
