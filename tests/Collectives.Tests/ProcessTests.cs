using System.Diagnostics;

namespace Distributed.Collectives.Tests;

/// <summary>Ranks that are processes, as in a real job.</summary>
public sealed class ProcessTests
{
    [Theory]
    [InlineData("shm")]
    [InlineData("grpc")]
    public async Task Operations_BetweenProcesses_WorkAndNoPortIsOpened(string transport)
    {
        await using var job = await TestJob.StartAsync();
        var ranks = Enumerable.Range(0, 2).Select(rank => Start(job, rank, worldSize: 2, "check", transport)).ToArray();
        foreach (var rank in ranks)
        {
            using (rank)
            {
                var output = await rank.StandardOutput.ReadToEndAsync().DefaultTimeout();
                await rank.WaitForExitAsync().DefaultTimeout();
                Assert.Equal($"joined{Environment.NewLine}ports{Environment.NewLine}", output);
                Assert.Equal(0, rank.ExitCode);
            }
        }

        Assert.Equal(["store.sock"], Directory.GetFileSystemEntries(job.Directory).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("shm")]
    [InlineData("grpc")]
    public async Task AllReduce_OneProcessIsKilled_EverySurvivorNamesItAtOnce(string transport)
    {
        await using var job = await TestJob.StartAsync();
        var ranks = Enumerable.Range(0, 3).Select(rank => Start(job, rank, worldSize: 3, "loop", transport)).ToArray();
        foreach (var rank in ranks)
        {
            Assert.Equal("joined", await rank.StandardOutput.ReadLineAsync().DefaultTimeout());
        }

        ranks[1].Kill();
        var watch = Stopwatch.StartNew();
        foreach (var rank in new[] { ranks[0], ranks[2] })
        {
            var verdict = await rank.StandardOutput.ReadLineAsync().DefaultTimeout();
            await rank.WaitForExitAsync().DefaultTimeout();
            Assert.Matches("^(PeerLostException|GroupAbortedException) 1 AllReduce \\(tag 9\\) on rank [02]: .*lost rank 1, whose connection ended", verdict);
            Assert.Equal(75, rank.ExitCode);
        }

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"it took {watch.Elapsed}");
        Array.ForEach(ranks, rank => rank.Dispose());
    }

    internal static Process Start(TestJob job, int rank, int worldSize, string mode, string transport)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Collectives.Tests"), mode.Split(' '))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        foreach (var (name, value) in job.Environment(rank, worldSize).ToVariables())
        {
            start.Environment[name] = value;
        }

        start.Environment[TransportNames.Variable] = transport;
        var process = Process.Start(start)!;
        process.StandardInput.BaseStream.Write(job.Envelope(rank).ToLine());
        process.StandardInput.Close();
        return process;
    }
}
