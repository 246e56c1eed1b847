using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>Which ranks of a host are bound to a processor, and to which.</summary>
public sealed class RankBindingTests
{
    [Fact]
    public void TryBind_TwiceAsManyRanksAsProcessors_GivesEachProcessorTwo()
    {
        var count = ProcessorBinding.AllowedCount();
        if (count < 2 || count < ProcessorBinding.OnlineCount())
        {
            Assert.False(RankBinding.TryBind(Ranks(2)[0]));
            return;
        }

        var processors = Ranks(2 * count).Select(rank => OnThread(() =>
        {
            Assert.True(RankBinding.TryBind(rank));
            Assert.Equal(1, ProcessorBinding.AllowedCount());
            return Thread.GetCurrentProcessorId();
        })).ToArray();

        Assert.NotEqual(processors[0], processors[1]); // neighbours work at the same time
        Assert.All(processors.CountBy(processor => processor), ranks => Assert.Equal(2, ranks.Value));
        Assert.Equal(count, processors.Distinct().Count());
        Assert.Equal(count, ProcessorBinding.AllowedCount()); // of the thread that started them
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, -1)]
    [InlineData(2, 1)]
    public void TryBind_AsManyRanksOrUnequalShares_BindsNone(int ranksOfEach, int more)
    {
        var count = ProcessorBinding.AllowedCount();
        Assert.All(Ranks(Math.Max(1, (ranksOfEach * count) + more)), rank => Assert.False(OnThread(() => RankBinding.TryBind(rank))));
    }

    [Theory]
    [InlineData(0, 4, 2, 2, 0)]
    [InlineData(3, 4, 2, 2, 1)]
    [InlineData(7, 4, 4, 4, null)] // as many ranks as processors
    [InlineData(0, 4, 2, 4, null)] // bound to a part, of which another rank may have the same
    [InlineData(0, 5, 2, 2, null)] // unequal shares
    [InlineData(0, 4, 1, 1, null)]
    [InlineData(0, 4, 0, 0, null)] // a system that does not bind
    public void ProcessorOf_MoreRanksThanAllProcessors_IsTheirsByTurns(int rank, int localWorldSize, int allowedCount, int onlineCount, int? expected)
        => Assert.Equal(
            expected,
            RankBinding.ProcessorOf(new RankEnvironment { Rank = rank, LocalRank = 0, WorldSize = 8, LocalWorldSize = localWorldSize }, allowedCount, onlineCount));

    [Fact]
    public void TryBind_ProcessorThatIsNotThere_ChangesNothing()
    {
        var count = ProcessorBinding.AllowedCount();
        Assert.False(ProcessorBinding.TryBind(1 << 20));
        Assert.Equal(count, ProcessorBinding.AllowedCount());
    }

    private static RankEnvironment[] Ranks(int count)
        => [.. Enumerable.Range(0, count).Select(rank => new RankEnvironment { Rank = rank, LocalRank = 0, WorldSize = count, LocalWorldSize = count })];

    private static T OnThread<T>(Func<T> body)
    {
        T? result = default;
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                result = body();
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        });
        thread.Start();
        thread.Join();
        Assert.Null(failure);
        return result!;
    }
}
