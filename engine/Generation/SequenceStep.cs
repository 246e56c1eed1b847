using System.Diagnostics;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Generation;

/// <summary>
/// One pass over the model for any number of sequences: each gives some of its pending tokens, a chunk of its prompt or the token drawn last, and learns what the
/// model says about them. Reusable.
/// </summary>
internal sealed class SequenceStep
{
    private readonly LeaderLoop _leader;
    private readonly TokenChoice _choice;
    private readonly StepCommand _command = new();
    private readonly List<(Sequence Sequence, int TokenCount)> _parts = [];

    // The step's outputs: the sequence's logits after the token at the position.
    private readonly List<(Sequence Sequence, int Position)> _outputs = [];

    public SequenceStep(LeaderLoop leader)
    {
        _leader = leader;
        _choice = new TokenChoice(leader, leader.Kernels);
    }

    /// <summary>Tokens of the step so far.</summary>
    public int TokenCount => _command.Tokens.Length;

    /// <summary>The sequences of the step, and how many tokens each gives.</summary>
    public IReadOnlyList<(Sequence Sequence, int TokenCount)> Parts => _parts;

    /// <summary>Time of all steps so far in the model and its collectives.</summary>
    public TimeSpan ModelTime { get; private set; }

    /// <summary>Tokens that all steps so far have added to answers.</summary>
    public long AppendedCount { get; private set; }

    /// <summary>Begins another step.</summary>
    public void Clear()
    {
        _command.Clear();
        _parts.Clear();
        _outputs.Clear();
    }

    /// <summary>The next pending tokens of a sequence, which has a slot, are part of the step; once a step for each.</summary>
    public void Add(Sequence sequence, int tokenCount)
    {
        _parts.Add((sequence, tokenCount));
        for (var position = sequence.RunCount; position < sequence.RunCount + tokenCount; position++)
        {
            AddToken(sequence, position);
        }
    }

    /// <summary>Runs the step on all ranks and tells each sequence its news.</summary>
    /// <param name="onFailure">
    /// Told of a sequence whose next token could not be chosen, and why; the others go on. <see langword="null"/> lets the exception pass.
    /// </param>
    /// <exception cref="NonFiniteLogitsException">A rank computed NaN or infinity; no sequence has advanced.</exception>
    /// <exception cref="Collectives.CollectiveException">A rank is lost.</exception>
    public void Run(Action<Sequence, Exception>? onFailure = null)
    {
        var started = Stopwatch.GetTimestamp();
        var result = _leader.Run(_command);
        ModelTime += Stopwatch.GetElapsedTime(started);
        foreach (var (sequence, tokenCount) in _parts)
        {
            sequence.Advance(tokenCount);
        }

        for (var output = 0; output < _outputs.Count; output++)
        {
            var (sequence, position) = _outputs[output];
            try
            {
                Tell(sequence, position, output, result[output]);
            }
            catch (Exception exception) when (onFailure is not null && exception is not Collectives.CollectiveException)
            {
                onFailure(sequence, exception);
            }
        }

        foreach (var (sequence, _) in _parts)
        {
            sequence.FinishIfComplete();
        }
    }

    private void Tell(Sequence sequence, int position, int output, in LogitsResult logits)
    {
        if (sequence.DrawsAfter(position))
        {
            var (tokenId, logit) = _choice.Choose(output, logits, sequence);
            var count = sequence.Count;
            sequence.Append(tokenId, logit, logits);
            AppendedCount += sequence.Count - count;
        }
        else
        {
            sequence.Score(position + 1, logits);
        }
    }

    private void AddToken(Sequence sequence, int position)
    {
        var index = _command.Tokens.Length;
        _command.AddToken(sequence.Tokens[position], sequence.Slot, position);
        if (sequence.DrawsAfter(position))
        {
            var sampling = sequence.Sampling;
            _command.AddOutput(index, temperature: TokenChoice.Temperature(sampling), detail: TokenChoice.Detail(sampling));
        }
        else if (sequence.ScoresAfter(position))
        {
            var detail = sequence.Sampling.TopLogprobs > 0 ? LogitsDetail.Alternatives : LogitsDetail.Best;
            _command.AddOutput(index, targetTokenId: sequence.Tokens[position + 1], detail: detail);
        }
        else
        {
            return;
        }

        _outputs.Add((sequence, position));
    }
}
