using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Worker.Running;

namespace Distributed.Worker.Tests.Running;

public sealed class FailureTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<Exception, int> Failures => new()
    {
        { new BadInputException(["one", "two"]), ExitCodes.BadInput },
        { new CheckpointException("torn"), ExitCodes.BadInput },
        { new GenerationException("too long"), ExitCodes.BadInput },
        { new RankEnvironmentException("RANK=x"), ExitCodes.BadInput },
        { new PeerLostException("lost rank 1", peerRank: 1), ExitCodes.GroupFailed },
        { new RendezvousTimeoutException("rank 1 did not join"), ExitCodes.GroupFailed },
        { new NonFiniteLogitsException("layer 2", rank: 1, layer: 2), ExitCodes.Failure },
        { new InvalidOperationException("a fault of the program"), ExitCodes.Failure },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Failures))]
    public void Report_Exception_GivesItsExitCodeAndAnErrorFileUnlessTheSentenceSaysAll(Exception exception, int exitCode)
    {
        var errorFile = Path.Combine(_folder.Path, "error.json");

        Assert.Equal(exitCode, Failure.Report(exception, errorFile));

        var record = ErrorFile.TryRead(errorFile, out _);
        Assert.Equal(exitCode == ExitCodes.BadInput, record is null);
        Assert.Equal((exception as CollectiveException)?.PeerRank, record?.VictimOfRank);
    }

    [Fact]
    public void Report_NoErrorFile_IsNoFailureOfItsOwn()
        => Assert.Equal(ExitCodes.Failure, Failure.Report(new InvalidOperationException("x"), errorFile: null));
}
