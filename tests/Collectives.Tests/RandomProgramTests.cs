namespace Distributed.Collectives.Tests;

/// <summary>The same drawn sequences of operations on every transport and world size give what they must, bit for bit.</summary>
public sealed class RandomProgramTests
{
    public static TheoryData<string, int> Worlds()
    {
        var worlds = new TheoryData<string, int>();
        foreach (var size in Enumerable.Range(1, 9).Append(16))
        {
            worlds.Add("in-memory", size);
        }

        foreach (var size in new[] { 2, 3, 4, 8 })
        {
            worlds.Add("shared memory", size);
        }

        foreach (var size in new[] { 2, 3, 5 })
        {
            worlds.Add("gRPC", size);
        }

        return worlds;
    }

    [Theory]
    [MemberData(nameof(Worlds))]
    public async Task Program_OfRandomOperations_GivesWhatTheOracleSays(string transport, int worldSize)
    {
        await using var world = await TestWorld.StartAsync(transport, worldSize);
        foreach (var seed in new[] { 1, 2 })
        {
            var program = new RandomProgram(seed, worldSize, count: 30);
            var errors = new Exception?[worldSize];
            var threads = world.Ranks.Select(group => new Thread(() =>
            {
                try
                {
                    program.Run(group);
                }
#pragma warning disable CA1031 // Judged below.
                catch (Exception error)
#pragma warning restore CA1031
                {
                    errors[group.Rank] = error;
                    group.Abort(error.Message);
                }
            })).ToArray();
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            Assert.Null(errors.OrderBy(error => error is CollectiveException).FirstOrDefault(error => error is not null));
        }
    }
}
