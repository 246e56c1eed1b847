using Distributed.Protos;
using Grpc.Core;

namespace Distributed.Collectives.Tests;

/// <summary>A caller that does not go on with its handshake.</summary>
public sealed class SilentCallerTests
{
    [Fact]
    public async Task Handshake_OfACallerThatSaysNothing_IsEndedAfterItsLimit()
    {
        await using var job = await TestJob.StartAsync();
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), new PeerRendezvousOptions { HandshakeLimit = TimeSpan.FromSeconds(3) });
        using (var peer = RawPeer.Dial(job))
        {
            // Half a handshake: then silence.
            await peer.Writer.WriteAsync(new PeerFrame { Hello = new Hello { ProtocolVersion = 1, JobId = job.JobId, SourceRank = 1, WorldSize = 2 } });
            Assert.True(await peer.Reader.MoveNext(CancellationToken.None).DefaultTimeout());

            var error = await Assert.ThrowsAsync<RpcException>(() => peer.Reader.MoveNext(CancellationToken.None)).DefaultTimeout();
            Assert.Equal(StatusCode.DeadlineExceeded, error.StatusCode);
            Assert.Contains("the handshake was not done within 3 s", error.Status.Detail, StringComparison.Ordinal);
        }

        var other = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), new PeerRendezvousOptions());
        RankThreads.Run(await Task.WhenAll(joining, other).DefaultTimeout(), group => group.Barrier());
    }
}
