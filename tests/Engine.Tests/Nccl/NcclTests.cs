using Distributed.Collectives;
using Distributed.Engine.Model;
using Distributed.Engine.Nccl;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Nccl;

/// <summary>When sums go from GPU to GPU and what is said where they do not; against a library that only pretends.</summary>
public sealed class NcclTests
{
    [Fact]
    public void TryLoad_NoLibraryOrAnotherOne_IsNull()
    {
        Assert.Null(NcclLibrary.TryLoad("libnccl-that-is-not-there.so.2"));
        if (OperatingSystem.IsLinux())
        {
            Assert.Null(NcclLibrary.TryLoad("libc.so.6"));
        }
    }

    [Fact]
    public unsafe void AllReduce_OfFake_PassesWhatNcclDeclares()
    {
        using var fake = FakeNccl.Compile();
        var library = fake.Library;
        using var aborted = new CancellationTokenSource();
        using var communicator = NcclCommunicator.Join(
            library, library.GetUniqueId(), worldSize: 2, rank: 1, () => { }, TimeSpan.FromSeconds(30), aborted.Token);
        var values = stackalloc float[] { 1, 2, 3, 4 };

        communicator.AllReduce((nint)values, 3);

        Assert.Equal("2.23.5", library.Version);
        Assert.Equal([2, 4, 6, 4], new ReadOnlySpan<float>(values, 4).ToArray());
    }

    [Fact]
    public void Join_WrongIdentity_HasNcclsOwnWords()
    {
        using var fake = FakeNccl.Compile();
        var error = Assert.Throws<NcclException>(() => NcclCommunicator.Join(
            fake.Library, default, worldSize: 2, rank: 0, () => { }, TimeSpan.FromSeconds(30), CancellationToken.None));
        Assert.Equal("invalid argument", error.Message);
    }

    [Fact]
    public void Join_RankThatDoesNotCome_EndsWithTheGroup()
    {
        using var fake = FakeNccl.Compile();
        using var aborted = new CancellationTokenSource();
        using var released = new ManualResetEventSlim();
        aborted.Cancel();
        Assert.Throws<NcclException>(() => NcclCommunicator.Join(
            fake.Library, fake.Library.GetUniqueId(), worldSize: 2, rank: 0, released.Wait, TimeSpan.FromMinutes(5), aborted.Token));
        released.Set();
    }

    [Fact]
    public void AllReduce_AfterAbortOfGroup_Throws()
    {
        using var fake = FakeNccl.Compile();
        var library = fake.Library;
        using var aborted = new CancellationTokenSource();
        using var communicator = NcclCommunicator.Join(
            library, library.GetUniqueId(), worldSize: 2, rank: 0, () => { }, TimeSpan.FromSeconds(30), aborted.Token);
        aborted.Cancel();
        Assert.Throws<NcclException>(() => communicator.AllReduce(0, 0));
    }

    /// <summary>Readiness by its initial: N no GPU, W not wanted, P no pointers, L no library, and R ready on the GPU of the number that follows.</summary>
    [Theory]
    [InlineData("R1 R2", null)]
    [InlineData("N N", "")]
    [InlineData("W W", "")]
    [InlineData("R1 N", "rank 1 computes on no GPU")]
    [InlineData("P R1", "rank 0 was built with a TorchSharp before 0.107, which gives no pointers to tensors")]
    [InlineData("R1 L", "rank 1 cannot load libnccl.so.2")]
    [InlineData("R1 R2 R1", "ranks 0 and 2 share a GPU")]
    public void FindObstacle_Ranks_SaysWhatIsMissing(string ranks, string? expected)
        => Assert.Equal(expected, NcclPeer.FindObstacle([.. ranks.Split(' ').Select(Parse)]));

    [Theory]
    [InlineData("R1 R2", "sums from GPU to GPU over NCCL 2.23.5", true)]
    [InlineData("R1 R1", "sums through host memory, without NCCL: ranks 0 and 1 share a GPU", false)]
    [InlineData("R1 R2 R3", "sums through host memory, without NCCL: it failed on rank 2", false)]
    public async Task Reach_AllRanks_AreOfOneOpinion(string ranks, string said, bool joined)
    {
        using var fake = FakeNccl.Compile();
        var peers = ranks.Split(' ').Select(Parse).ToArray();
        var groups = InMemoryWorld.Create(peers.Length);
        var outcomes = await Task.WhenAll(groups.Select(group => Task.Factory.StartNew(
            () =>
            {
                var collectives = new StepCollectives(group, ModelMesh.OneStage(peers.Length));
                var line = NcclAgreement.Reach(collectives, peers[group.Rank], fake.Library, () => { }, out var communicator);
                communicator?.Dispose();
                return (Line: line, Joined: communicator is not null);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default)));
        await Task.WhenAll(groups.Select(group => Task.Run(group.Dispose)));

        Assert.All(outcomes, outcome => Assert.Equal(joined, outcome.Joined));
        Assert.StartsWith(said, outcomes[0].Line, StringComparison.Ordinal);
    }

    private static NcclPeer Parse(string rank) => new(
        rank[0] switch
        {
            'N' => NcclReadiness.NoDevice,
            'W' => NcclReadiness.NotWanted,
            'P' => NcclReadiness.NoPointers,
            'L' => NcclReadiness.NoLibrary,
            _ => NcclReadiness.Ready,
        },
        rank.Length > 1 ? (ulong)(rank[1] - '0') : 0);
}
