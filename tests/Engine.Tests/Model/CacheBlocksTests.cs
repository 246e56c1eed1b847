using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>Rank 0's book of the cache's blocks, and the tables that all ranks keep by it.</summary>
public sealed class CacheBlocksTests
{
    private const int Length = KeyValueCache.BlockLength;

    [Fact]
    public void Adopt_PrefixThatWasKept_SharesItsWholeBlocks()
    {
        var blocks = new CacheBlocks(slotCount: 3, maxSequenceLength: 4 * Length, blockCount: 8);
        var tokens = Tokens(1, 3 * Length);
        Fill(blocks, 0, tokens, 0, (2 * Length) + 5);
        blocks.Keep(0, tokens, "a");

        Assert.Equal(0, blocks.Adopt(1, tokens, "b"));
        Assert.Equal(Length, blocks.Adopt(1, tokens.AsSpan(0, (2 * Length) - 1), "a"));
        Assert.Equal(2 * Length, blocks.Adopt(2, tokens, "a"));

        Assert.Equal((3, 5, 0), (blocks.UsedCount, blocks.AvailableCount, blocks.IdleCount));
        blocks.Release(0);
        Assert.Equal((2, 6, 0), (blocks.UsedCount, blocks.AvailableCount, blocks.IdleCount)); // its third block was nobody else's
        blocks.Release(2);
        Assert.Equal((1, 7, 1), (blocks.UsedCount, blocks.AvailableCount, blocks.IdleCount));
        blocks.Release(1);
        Assert.Equal((0, 8, 2), (blocks.UsedCount, blocks.AvailableCount, blocks.IdleCount));
        Assert.Equal(2 * Length, blocks.Adopt(0, tokens, "a"));
    }

    [Fact]
    public void Keep_WhatAnotherSlotHasToo_LeavesOneCopy()
    {
        var blocks = new CacheBlocks(slotCount: 2, maxSequenceLength: 4 * Length, blockCount: 8);
        var tokens = Tokens(1, 3 * Length);
        Fill(blocks, 0, tokens, 0, tokens.Length);
        Fill(blocks, 1, tokens, 0, tokens.Length);
        Assert.Equal(6, blocks.UsedCount);

        blocks.Keep(0, tokens, "a");
        blocks.Keep(1, tokens, "a");

        Assert.Equal(3, blocks.UsedCount);
        var change = Fill(blocks, 1, [.. tokens, 7], tokens.Length, 1);
        Assert.Equal([0, 1, 2], change.Blocks[..3].ToArray().Select(block => block.Block)); // the ranks hear of it
    }

    [Fact]
    public void TryReserve_NoneLeft_EvictsWhatWasIdleTheLongestAndThenFails()
    {
        var blocks = new CacheBlocks(slotCount: 3, maxSequenceLength: 4 * Length, blockCount: 4);
        var (first, second) = (Tokens(1, 2 * Length), Tokens(2, 2 * Length));
        foreach (var tokens in (int[][])[first, second])
        {
            Fill(blocks, 0, tokens, 0, tokens.Length);
            blocks.Keep(0, tokens, "a");
            blocks.Release(0);
        }

        Assert.Equal((0, 4, 4), (blocks.UsedCount, blocks.AvailableCount, blocks.IdleCount));
        Assert.True(blocks.TryReserve(0, Length));
        Assert.Equal(Length, blocks.Adopt(1, first, "a")); // its second half has gone, and the prefix of it has not
        blocks.Release(1);
        Assert.Equal(2 * Length, blocks.Adopt(2, second, "a"));

        Assert.False(blocks.TryReserve(0, 3 * Length));
        Assert.Equal(1, blocks.CountOf(0));
        Assert.True(blocks.TryReserve(0, 2 * Length));
        Assert.Equal(0, blocks.AvailableCount);
        Assert.StartsWith("The step needs 1 more blocks", blocks.Advance(Step(1, 0, 1)), StringComparison.Ordinal);
    }

    [Fact]
    public void Advance_IntoABlockThatIsKept_IsRefused()
    {
        var blocks = new CacheBlocks(slotCount: 1, maxSequenceLength: 4 * Length, blockCount: 4);
        var tokens = Tokens(1, Length + 3);
        Fill(blocks, 0, tokens, 0, tokens.Length);
        blocks.Keep(0, tokens, "a");

        Assert.Contains("kept for its prefix", blocks.Advance(Step(0, Length - 1, 1)), StringComparison.Ordinal);
        Assert.Null(blocks.Advance(Step(0, Length, 1)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void AnyOrder_OfAllThatCanHappen_KeepsTheBookAndTheTablesRight(int seed)
    {
        // What each block holds is written down beside it, as the ranks' memory would.
        const int Slots = 5;
        const int Parts = 5;
        const int Blocks = 12;
        var random = new Random(seed);
        var blocks = new CacheBlocks(Slots, Parts * Length, Blocks);
        var tables = new BlockTables(Slots, Parts);
        var memory = new int[Blocks * Length];
        var sequences = new int[Slots][];
        var filled = new int[Slots];
        var (reused, takenLater) = (0, 0);
        for (var round = 0; round < 5000; round++)
        {
            var slot = random.Next(Slots);
            var owner = sequences[slot] is { } known ? $"{known[^1] % 2}" : "";
            if (sequences[slot] is null)
            {
                sequences[slot] = [.. Enumerable.Range(0, 5).SelectMany(_ => Tokens(random.Next(2), Length)), random.Next(2)];
                filled[slot] = blocks.Adopt(slot, sequences[slot].AsSpan(0, random.Next(Parts * Length)), $"{sequences[slot][^1] % 2}");
                reused += filled[slot];
            }
            else if (random.Next(6) == 0)
            {
                blocks.Release(slot);
                sequences[slot] = null!;
                filled[slot] = 0;
            }
            else if (random.Next(4) == 0)
            {
                blocks.Keep(slot, sequences[slot], owner);
            }
            else if (random.Next(4) == 0)
            {
                var before = filled[slot];
                filled[slot] = blocks.AdoptMore(slot, sequences[slot], owner);
                takenLater += filled[slot] - before;
            }
            else
            {
                var count = Math.Min(random.Next(1, 100), (Parts * Length) - filled[slot]);
                var step = Step(slot, filled[slot], count);
                if (count == 0 || blocks.Advance(step) is not null)
                {
                    Assert.True(count == 0 || blocks.AvailableCount < KeyValueCache.BlocksFor(count) + 1);
                    continue;
                }

                tables.Apply(step.Blocks);
                Assert.Null(tables.FindMistake(step));
                foreach (var token in step.Tokens)
                {
                    memory[(tables.BlockOf(slot, token.Position) * Length) + (token.Position % Length)] = sequences[slot][token.Position];
                }

                filled[slot] += count;
                for (var position = 0; position < filled[slot]; position++)
                {
                    Assert.Equal(sequences[slot][position], memory[(tables.BlockOf(slot, position) * Length) + (position % Length)]);
                }
            }

            Assert.InRange(blocks.UsedCount, 0, Enumerable.Range(0, Slots).Sum(blocks.CountOf));
        }

        Assert.True(reused > 0 && takenLater > 0);
        for (var slot = 0; slot < Slots; slot++)
        {
            blocks.Release(slot);
        }

        Assert.Equal((0, Blocks), (blocks.UsedCount, blocks.AvailableCount));
    }

    [Fact]
    public void Run_LeaderWithAnotherCache_IsRefusedByTheFollower()
    {
        var config = Serving.ServingWorld.Config;
        using var checkpoint = new RandomCheckpoint(config, TensorType.Float32, seed: 1);
        using var ranks = new ThreadWorld(2);
        var (leaderGroup, followerGroup) = (ranks.Join(0), ranks.Join(1));
        using var large = Load(leaderGroup, 4 * Length);
        using var small = Load(followerGroup, Length);
        var follower = Task.Factory.StartNew(
            () => new FollowerLoop(small, followerGroup).Run(), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        Assert.ThrowsAny<CollectiveException>(() => new LeaderLoop(large, leaderGroup).Run(Step(0, 0, Length + 1)));

        var exception = Assert.Throws<AggregateException>(() => follower.Wait(TimeSpan.FromSeconds(30))).InnerException;
        Assert.Contains("1 blocks", Assert.IsType<PeerProtocolException>(exception).Message, StringComparison.Ordinal);

        LlamaModel Load(ProcessGroup group, int cacheTokenCount) => LlamaModel.Create(
            config,
            checkpoint.Stored(2, EmbeddingLayout.SplitByDimension),
            group,
            ModelWorld.Options() with { CacheTokenCount = cacheTokenCount },
            KernelSet.Best);
    }

    [Fact]
    public void FindMistake_TokenWithoutItsBlocks_IsFound()
    {
        var tables = new BlockTables(2, 4);
        var step = Step(1, Length, 2);
        step.AddBlock(1, 1, 0);
        tables.Apply(step.Blocks);

        Assert.Contains("part 0", tables.FindMistake(step), StringComparison.Ordinal);
        step.AddBlock(1, 0, 3);
        tables.Apply(step.Blocks);
        Assert.Null(tables.FindMistake(step));
    }

    private static int[] Tokens(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(1000))];
    }

    private static StepCommand Step(int slot, int position, int count)
    {
        var step = new StepCommand();
        for (var i = 0; i < count; i++)
        {
            step.AddToken(0, slot, position + i);
        }

        return step;
    }

    private static StepCommand Fill(CacheBlocks blocks, int slot, int[] tokens, int position, int count)
    {
        Assert.InRange(position + count, 0, tokens.Length);
        var step = Step(slot, position, count);
        Assert.Null(blocks.Advance(step));
        return step;
    }
}
