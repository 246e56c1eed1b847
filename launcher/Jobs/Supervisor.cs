using Distributed.Collectives.Launching;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>The limits of a teardown.</summary>
/// <param name="Grace">From the first signal to SIGKILL.</param>
/// <param name="Settle">How long the ranks that a victim may blame are left alone, to die their own death and name the cause.</param>
/// <param name="KillWait">How long a rank may outlive SIGKILL before the launcher leaves without it.</param>
internal sealed record SupervisorLimits(TimeSpan Grace, TimeSpan Settle, TimeSpan KillWait);

/// <summary>
/// Decides what happens to the ranks: the first failure, or a signal to the launcher, ends the job for all of them. It holds no process and
/// no clock; it is told what happened at which time, and says what to send to whom.
/// </summary>
/// <param name="ranks">The global ranks of this node, all running.</param>
/// <param name="limits">The limits of a teardown.</param>
/// <param name="send">Sends a signal to a rank's process group, and says whether the rank was still running.</param>
/// <param name="outliving">Asked at the first failure which of the living ranks are left running; <see langword="null"/> for none.</param>
internal sealed class Supervisor(
    IReadOnlyCollection<int> ranks,
    SupervisorLimits limits,
    Func<int, int, bool> send,
    Func<IReadOnlyCollection<int>, IReadOnlySet<int>>? outliving = null)
{
    private readonly List<RankExit> _exits = []; // in the order of the deaths
    private readonly SortedSet<int> _alive = [.. ranks];
    private readonly HashSet<(int Rank, int Signal)> _sent = [];
    private readonly HashSet<int> _collateral = [];
    private readonly SortedSet<int> _spared = []; // ranks that outlive a failure of others
    private readonly HashSet<int> _held = []; // ranks of a job that is ending which have not been told yet
    private ErrorRecord? _loss; // what a rank that outlives the attempt says of its end, until that is put down to a rank
    private TimeSpan? _heldUntil;
    private TimeSpan? _killAt;
    private TimeSpan? _leaveAt;

    /// <summary>The ends of the ranks so far, in the order in which they died.</summary>
    public IReadOnlyList<RankExit> Exits => _exits;

    /// <summary>The ranks that run, or do not end although they were killed.</summary>
    public IReadOnlyCollection<int> Alive => _alive;

    /// <summary>The ranks that run and are left running although another one has failed.</summary>
    public IReadOnlyCollection<int> Spared => _spared;

    /// <summary>The ranks that ended because the launcher told them to.</summary>
    public IReadOnlySet<int> Collateral => _collateral;

    /// <summary>The signal to the launcher that ended the job; <see langword="null"/> where none did, or a failure came first.</summary>
    public int? StoppedBySignal { get; private set; }

    /// <summary>When the first rank failed by itself; <see langword="null"/> where none has.</summary>
    public TimeSpan? FirstFailureTime { get; private set; }

    /// <summary>Whether a rank has failed by itself, and nobody is waited for any more who might be to blame for that.</summary>
    public bool IsFailureSettled => FirstFailureTime is not null && _heldUntil is null;

    /// <summary>Whether nothing more will happen.</summary>
    public bool IsDone { get; private set; } = ranks.Count == 0;

    /// <summary>When <see cref="OnTime"/> wants to be called next.</summary>
    public TimeSpan? NextTime => _heldUntil ?? _killAt ?? _leaveAt;

    /// <summary>Whether the ranks have been told to end.</summary>
    public bool IsEnding => _killAt is not null || _leaveAt is not null;

    /// <summary>A rank has ended.</summary>
    public void OnExit(RankExit exit, TimeSpan now)
    {
        exit = GiveUpIfLost(exit);
        _exits.Add(exit);
        _alive.Remove(exit.Rank);
        _spared.Remove(exit.Rank);
        _held.Remove(exit.Rank);
        if (!exit.IsGivenUp && IsObedience(exit))
        {
            _collateral.Add(exit.Rank);
        }
        else if (exit.IsGivenUp || !exit.End.IsSuccess)
        {
            OnFailure(exit, now);
        }

        IsDone = _alive.Count == _spared.Count;
        if (IsDone)
        {
            _heldUntil = _killAt = _leaveAt = null;
        }
    }

    /// <summary>
    /// A rank that outlives the attempt has lost its group. The rank that it blames, where it names one, has a moment to die by itself, as its death may just not be known yet;
    /// one that is stopped or hangs is ended, and that is its failure.
    /// </summary>
    public void OnLoss(ErrorRecord loss, TimeSpan now)
    {
        if (!IsDone && !IsEnding)
        {
            FirstFailureTime ??= now;
            Spare();
            _loss = loss.VictimOfRank is { } blamed && _alive.Except(_spared).Contains(blamed) ? loss : loss with { VictimOfRank = null };
            End(Signals.Terminate, SuspectsOf(_loss.VictimOfRank), now);
        }
    }

    /// <summary>The launcher got a signal that asks it to end: the first is passed on, the second kills.</summary>
    public void OnSignal(int signal, TimeSpan now)
    {
        if (IsDone)
        {
            return;
        }

        if (IsEnding && _spared.Count == 0)
        {
            KillAll(now);
            return;
        }

        if (IsEnding)
        {
            _spared.Clear(); // no other attempt will follow
        }
        else
        {
            StoppedBySignal = signal;
        }

        End(signal, held: [], now);
    }

    /// <summary>The ranks are to end for a reason that is none of them and no signal.</summary>
    public void OnStop(TimeSpan now)
    {
        if (!IsDone && !IsEnding)
        {
            End(Signals.Terminate, held: [], now);
        }
    }

    /// <summary>Time has passed.</summary>
    public void OnTime(TimeSpan now)
    {
        if (now >= _heldUntil)
        {
            Release();
        }

        if (now >= _killAt && _heldUntil is null)
        {
            KillAll(now);
        }
        else if (now >= _leaveAt)
        {
            IsDone = true;
            _leaveAt = null;
        }
    }

    /// <summary>
    /// Whether a rank ended because it was told to: by a signal that it was sent, or, with any exit code, after one. It failed by itself
    /// all the same if it died of another signal, or wrote down why.
    /// </summary>
    private bool IsObedience(RankExit exit)
        => exit.Error is null
            && _sent.Any(sent => sent.Rank == exit.Rank && (exit.End.Signal == 0 || exit.End.Signal == sent.Signal));

    /// <summary>The rank that was lost, or the first where it is not known which, and which ended only when it was told to: whatever it said then, this is what was wrong with it.</summary>
    private RankExit GiveUpIfLost(RankExit exit)
    {
        if (_loss is not { } loss || (loss.VictimOfRank ?? exit.Rank) != exit.Rank || !IsObedience(exit with { Error = null }))
        {
            return exit;
        }

        _loss = null;
        return exit with { IsGivenUp = true, Error = loss with { VictimOfRank = null }, LostPeer = null };
    }

    private void OnFailure(RankExit exit, TimeSpan now)
    {
        FirstFailureTime ??= now;
        if (!IsEnding)
        {
            Spare();
            End(Signals.Terminate, exit.IsVictim ? SuspectsOf(exit.Error?.VictimOfRank) : [], now);
        }
        else if (_heldUntil is not null && !exit.IsVictim)
        {
            Release(); // The cause is known.
        }
    }

    private void Spare() => _spared.UnionWith(outliving?.Invoke(_alive) ?? new HashSet<int>());

    /// <summary>The living ranks that may be the cause of a victim's end.</summary>
    private int[] SuspectsOf(int? blamed) => [.. _alive.Except(_spared).Where(rank => blamed is null || rank == blamed)];

    private void End(int signal, int[] held, TimeSpan now)
    {
        _killAt = now + limits.Grace;
        _held.UnionWith(held);
        _heldUntil = held.Length > 0 ? now + limits.Settle : null;
        Tell(_alive.Except(_held).Except(_spared), signal);
    }

    private void Release()
    {
        _heldUntil = null;
        Tell(_held, Signals.Terminate);
        _held.Clear();
    }

    private void KillAll(TimeSpan now)
    {
        Tell(_alive.Except(_spared), Signals.Kill);
        _held.Clear();
        _heldUntil = _killAt = null;
        _leaveAt ??= now + limits.KillWait;
    }

    private void Tell(IEnumerable<int> ranks, int signal)
    {
        foreach (var rank in ranks.ToArray())
        {
            // A rank whose end is just not known here yet did not end because of this.
            if (send(rank, signal))
            {
                _sent.Add((rank, signal));
            }

            if (signal != Signals.Kill)
            {
                send(rank, Signals.Continue); // A stopped process acts on no other signal until it is woken.
            }
        }
    }
}
