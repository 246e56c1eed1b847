using System.Diagnostics.CodeAnalysis;

namespace Distributed.Collectives;

/// <summary>How a group came to fail.</summary>
internal enum FailureKind
{
    /// <summary>The connection to a peer ended.</summary>
    PeerLost,

    /// <summary>A peer sent something else than was due.</summary>
    Protocol,

    /// <summary>A peer did not do its part in time.</summary>
    Timeout,

    /// <summary>The owner of this rank's group called <see cref="ProcessGroup.Abort"/>.</summary>
    Requested,

    /// <summary>A peer said that the group has failed.</summary>
    Told,
}

/// <summary>Why a group failed.</summary>
/// <param name="Kind">How it came about on this rank.</param>
/// <param name="Origin">The rank that met it.</param>
/// <param name="BlamedRank">The rank at fault, where one is.</param>
/// <param name="Sentence">The cause in the words of the rank that met it, the same on every rank.</param>
internal sealed record FirstCause(FailureKind Kind, int Origin, int? BlamedRank, string Sentence);

/// <summary>
/// Whether the group of one rank still stands. The first failure is kept, whoever meets it (the owner thread or a reader); whatever
/// follows is thrown as its consequence.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "A source without timer or links holds nothing that needs disposal, and readers may outlive the group.")]
internal sealed class GroupFailure(RunningOperation operation)
{
    // Above PeerProcessGroup's own limit for telling: reached only if telling itself hangs.
    private static readonly TimeSpan TellLimit = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _aborted = new();
    private readonly TaskCompletionSource _told = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Func<FirstCause, Task>? _tellPeers;
    private FirstCause? _first;
    private bool _isThrown;

    /// <summary>The first cause, once there is one.</summary>
    public FirstCause? First => Volatile.Read(ref _first);

    /// <summary>Signalled soon after the first failure.</summary>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>Names what wakes the owner thread and tells the peers, once, when the group fails or if it already has.</summary>
    public void Attach(Func<FirstCause, Task> tellPeers)
    {
        lock (_gate)
        {
            _tellPeers = tellPeers;
        }

        if (First is { } first)
        {
            _ = TellAsync(tellPeers, first);
        }
    }

    /// <summary>Keeps a failure that this rank has met, unless there was one before.</summary>
    /// <param name="kind">How it came about.</param>
    /// <param name="peer">The rank to blame.</param>
    /// <param name="what">What happened, for <see cref="RunningOperation.Describe"/>.</param>
    public void Report(FailureKind kind, int peer, string what)
    {
        if (First is null)
        {
            Keep(new FirstCause(kind, operation.Rank, peer, AbortCause.Bound(operation.Describe(what))));
        }
    }

    /// <summary>Keeps the failure that the owner of the group declares.</summary>
    public void Request(string cause) => Keep(new FirstCause(FailureKind.Requested, operation.Rank, BlamedRank: null, AbortCause.Bound(cause)));

    /// <summary>Keeps the failure of which a peer tells, and which rank <paramref name="origin"/> met.</summary>
    public void Tell(int origin, string cause, int? blamedRank) => Keep(new FirstCause(FailureKind.Told, origin, blamedRank, AbortCause.Bound(cause)));

    /// <summary>Keeps a failure and returns what the owner thread has to throw for the first cause, which may be an older one.</summary>
    public CollectiveException Fail(FailureKind kind, int peer, string what)
    {
        Report(kind, peer, what);
        return ToException(First!);
    }

    /// <summary>Throws if the group has failed; of the owner thread.</summary>
    public void ThrowIfFailed()
    {
        if (First is { } first)
        {
            throw ToException(first);
        }
    }

    /// <summary>
    /// Returns when the peers know of the failure or cannot be told. Whoever is about to end the process because of the failure waits
    /// for this, or the peers would lose this rank before they learn which rank is at fault.
    /// </summary>
    public void WaitUntilTold() => _told.Task.Wait(TellLimit);

    private void Keep(FirstCause cause)
    {
        Func<FirstCause, Task>? tellPeers;
        lock (_gate)
        {
            if (_first is not null)
            {
                return;
            }

            Volatile.Write(ref _first, cause);
            tellPeers = _tellPeers;
        }

        if (tellPeers is not null)
        {
            _ = TellAsync(tellPeers, cause);
        }

        // On the pool: the callbacks are the owner's code and must not hold up the thread that met the failure.
        _ = _aborted.CancelAsync();
    }

    [SuppressMessage("Design", "CA1031", Justification = "A peer that cannot be told learns of the failure by losing this rank.")]
    private async Task TellAsync(Func<FirstCause, Task> tellPeers, FirstCause cause)
    {
        try
        {
            await tellPeers(cause);
        }
        catch (Exception)
        {
            // The first cause is what matters, and it is kept.
        }

        _told.TrySetResult();
    }

    // The operation that meets a failure of this rank's own throws it by its kind, once; everything else is a consequence.
    private CollectiveException ToException(FirstCause first)
    {
        WaitUntilTold();
        if (!_isThrown && first is { Kind: FailureKind.PeerLost or FailureKind.Protocol or FailureKind.Timeout, BlamedRank: { } peer })
        {
            _isThrown = true;
            return first.Kind switch
            {
                FailureKind.PeerLost => new PeerLostException(first.Sentence, peer),
                FailureKind.Protocol => new PeerProtocolException(first.Sentence, peer),
                _ => new CollectiveTimeoutException(first.Sentence, peer),
            };
        }

        return new GroupAbortedException(
            operation.Describe($"the group was aborted before by rank {first.Origin}; the first cause: {first.Sentence}"), first.BlamedRank);
    }
}
