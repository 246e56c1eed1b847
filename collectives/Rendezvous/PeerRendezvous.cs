using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports.Grpc;

namespace Distributed.Collectives;

/// <summary>Where the ranks of a job become a group.</summary>
public static class PeerRendezvous
{
    /// <summary>Joins the group of this job and epoch: returns when every rank is connected with every other.</summary>
    /// <param name="environment">What the launcher's environment variables say.</param>
    /// <param name="envelope">What the launcher said over stdin.</param>
    /// <param name="options">Limits and addresses.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The group, which the caller disposes; in a world of one it neither listens nor connects.</returns>
    /// <exception cref="RendezvousTimeoutException">Ranks were missing when the time ran out; the message names exactly those.</exception>
    /// <exception cref="RendezvousConnectionException">The store or a peer does not accept this rank, or cannot be reached.</exception>
    public static async Task<ProcessGroup> JoinAsync(
        RankEnvironment environment, JobEnvelope envelope, PeerRendezvousOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(environment);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SilenceLimit, TimeSpan.FromMilliseconds(100), nameof(options.SilenceLimit));
        if (environment.WorldSize == 1)
        {
            return new SingleProcessGroup();
        }

        if (envelope is null)
        {
            throw new ArgumentNullException(
                nameof(envelope),
                "The job's secret is missing: start the program with distrun, which gives it to programs whose project sets the option Distributed.TakesEnvelope, as samples/hello-allreduce does.");
        }

        RuntimeDirectory.Check(environment.RuntimeDirectory);
        if (envelope.Rank != environment.Rank)
        {
            throw new RendezvousConnectionException(
                $"The job envelope is for rank {envelope.Rank} and RANK is {environment.Rank}; start this program with distrun, which sets both.");
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.Timeout);
        var self = new PeerIdentity(envelope.JobId, envelope.Epoch, environment.Rank, environment.WorldSize, envelope.Secret);
        await using var store = GrpcStore.Connect(environment.StoreAddress ?? "", envelope.JobId, envelope.Secret);
        var directory = new PeerDirectory(store, self.Epoch, self.Rank, self.WorldSize, options.Timeout, limit.Token);
        var connector = new PeerConnector(self, environment, options, directory);
        try
        {
            // One that has outlived an attempt has something to lose already; one that is new has not before it has joined.
            var outlived = options.OutlivesAttempt && envelope.StoreAddress is not null;
            if (outlived)
            {
                await OutlivingRanks.AddAsync(store, self.Rank, limit.Token);
            }

            var group = await connector.ConnectAsync(limit.Token);

            // Blocking, as operations are: not on the pool, whose threads drive the connections.
            await Task.Factory.StartNew(
                () => group.Barrier(new CollectiveOptions(Timeout: options.Timeout)), limit.Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            connector.EndJoining();
            if (options.OutlivesAttempt && !outlived)
            {
                await OutlivingRanks.AddAsync(store, self.Rank, limit.Token);
            }

            return group;
        }
        catch (Exception exception)
        {
            var missing = connector.MissingRanks();
            connector.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            if (exception is OperationCanceledException or RendezvousTimeoutException)
            {
                throw Timeout(self, missing, options.Timeout);
            }

            if (exception is CollectiveException)
            {
                throw new RendezvousConnectionException($"The ranks met and then lost one: {exception.Message}", exception);
            }

            throw;
        }
    }

    private static RendezvousTimeoutException Timeout(PeerIdentity self, IReadOnlyList<int> missing, TimeSpan limit)
    {
        var ranks = string.Join(", ", missing);
        return new RendezvousTimeoutException(string.Create(
            CultureInfo.InvariantCulture,
            $"Rank {self.Rank} of {self.WorldSize} waited {limit.TotalSeconds:0.###} s for rank{(missing.Count == 1 ? "" : "s")} {ranks}, which did not join; their output says why."));
    }
}
