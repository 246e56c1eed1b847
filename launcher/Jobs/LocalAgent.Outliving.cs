using Distributed.Collectives;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Jobs;

/// <content>Ranks that outlive an attempt (<see cref="PeerRendezvousOptions.OutlivesAttempt"/>): they join the next one, or end when there is none.</content>
internal sealed partial class LocalAgent
{
    private readonly List<AttemptOutput> _outputs = []; // where they write, and what was there before them
    private IReadOnlyList<Worker> _outliving = []; // of the attempt before

    private Func<IReadOnlyCollection<int>, IReadOnlySet<int>>? OutlivingIn(RendezvousStore store)
        => _options.Restarts.MaxRestarts == 0 ? null
            : ranks => OutlivingRanks.FindAsync(store, ranks).GetAwaiter().GetResult(); // in this process: nobody is waited for

    /// <summary>Passes on that a rank which outlives the attempt has lost its group.</summary>
    private async Task WatchLossAsync(RendezvousStore store, WorkerGroup group, CancellationToken ended)
    {
        if (_options.Restarts.MaxRestarts == 0)
        {
            return;
        }

        try
        {
            var loss = await OutlivingRanks.WaitForLossAsync(store, ended);
            _mailbox.Post(() => group.OnLoss(loss));
        }
        catch (OperationCanceledException)
        {
            // The attempt has ended otherwise.
        }
    }

    private string TellOutliving()
        => _outliving.Count == 0 ? "" : $"; rank {string.Join(", ", _outliving.Select(worker => worker.Rank))} goes on";

    /// <summary>The end of an attempt's output, or of that of all, where nobody writes to it any more.</summary>
    private void End(AttemptOutput output)
    {
        _outputs.Add(output);
        if (_outliving.Count == 0)
        {
            _outputs.ForEach(one => one.Dispose());
            _outputs.Clear();
        }
    }

    /// <summary>There is no next attempt for those that were left running.</summary>
    private void EndOutliving()
    {
        if (_outliving.Count == 0)
        {
            return;
        }

        using var group = NewGroup(logs: null);
        group.Start((index, _) => _outliving[index], _outliving.Count);
        _mailbox.Post(group.Stop);
        var supervisor = group.Supervise(TellLongTeardown);
        _outliving = [];
        WaitForOutput(group, supervisor, _outputs[^1]);
        _outputs.ForEach(output => output.Dispose());
        _outputs.Clear();
    }
}
