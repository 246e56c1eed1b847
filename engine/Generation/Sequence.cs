using System.Runtime.InteropServices;
using Distributed.Engine.Model;

namespace Distributed.Engine.Generation;

/// <summary>
/// One prompt on its way to an answer: the tokens it has, and how many of them have been run. What becomes of the tokens is the derived class's.
/// </summary>
internal abstract class Sequence
{
    private readonly int[] _stopTokenIds;
    private readonly int _end; // no token has this position or a later one
    private readonly int _runEnd; // tokens at this position and after bring nothing that is needed
    private int[] _tokens; // [position], then room
    private int _scoredCount = 1; // positions whose tokens need no more log probability; nothing predicts the first

    /// <param name="prompt">At least one token.</param>
    /// <param name="generated">Tokens of the answer that are known already.</param>
    /// <param name="maxTokens">Tokens of the whole answer.</param>
    /// <param name="maxSequenceLength">Positions; the prompt fits them.</param>
    /// <param name="sampling">How tokens are chosen.</param>
    /// <param name="stopTokenIds">The answer ends before any of these.</param>
    /// <param name="scoresPrompt">Whether the log probabilities of the prompt's tokens are wanted.</param>
    protected Sequence(
        ReadOnlySpan<int> prompt,
        ReadOnlySpan<int> generated,
        int maxTokens,
        int maxSequenceLength,
        SamplingOptions sampling,
        ReadOnlySpan<int> stopTokenIds,
        bool scoresPrompt)
    {
        _tokens = [.. prompt, .. generated];
        _stopTokenIds = [.. stopTokenIds];
        Sampling = sampling;
        ScoresPrompt = scoresPrompt;
        PromptLength = prompt.Length;
        Count = _tokens.Length;
        _end = prompt.Length + Math.Min(maxTokens, maxSequenceLength - prompt.Length);
        _runEnd = Count < _end ? _end : scoresPrompt ? prompt.Length - 1 : 0;
        foreach (var tokenId in generated)
        {
            TakeNote(tokenId);
        }
    }

    /// <summary>How tokens are chosen.</summary>
    public SamplingOptions Sampling { get; }

    /// <summary>The slot of the cache that holds it; -1 while it has none.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>Number of tokens, prompt and answer.</summary>
    public int Count { get; private set; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptLength { get; }

    /// <summary>The most tokens that the model can come to see: all but the last, where an answer is wanted.</summary>
    public int MaxRunCount => Math.Min(_runEnd, _end - 1);

    /// <summary>Number of tokens that the model has seen.</summary>
    public int RunCount { get; private set; }

    /// <summary>Number of tokens that the model has to have seen for what comes next.</summary>
    public int WantedCount => Math.Min(Count, _runEnd);

    /// <summary>Of its first tokens so many may be in the cache already: what the others tell is all that is needed.</summary>
    public int ReusableCount => Math.Min(WantedCount, ScoresPrompt && _scoredCount < PromptLength ? _scoredCount : int.MaxValue) - 1;

    /// <summary>Number of tokens that wait to be run: the rest of the prompt, or the token drawn last.</summary>
    public int PendingCount => WantedCount - RunCount;

    /// <summary>Whether the next token to run is one of the prompt.</summary>
    public bool IsInPrompt => RunCount < PromptLength;

    /// <summary>Whether the log probabilities of the prompt's tokens are wanted.</summary>
    public bool ScoresPrompt { get; }

    /// <summary>Whether it has come to its end.</summary>
    public bool IsFinished { get; private set; }

    /// <summary>All tokens so far, the prompt's first.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);

    /// <summary>How often the answer has each of its tokens; empty where no penalty counts them.</summary>
    public Dictionary<int, int> Counts { get; } = [];

    /// <summary>The tokens before any of which the answer ends.</summary>
    public ReadOnlySpan<int> StopTokenIds => _stopTokenIds;

    /// <summary>Whether the logits after the token at <paramref name="position"/> decide the next token.</summary>
    public bool DrawsAfter(int position) => position == Count - 1 && Count < _end;

    /// <summary>Whether the logits after it tell a log probability of a prompt's token that is wanted and not known yet.</summary>
    public bool ScoresAfter(int position) => ScoresPrompt && position + 1 < PromptLength && position + 1 >= _scoredCount;

    /// <summary>The next pending tokens have been run.</summary>
    public void Advance(int count) => RunCount += count;

    /// <summary>The cache holds the first <paramref name="runCount"/> tokens and no more: it begins again behind them.</summary>
    public void Restart(int runCount) => RunCount = runCount;

    /// <summary>Takes note of what the logits say about the prompt's token at <paramref name="position"/>.</summary>
    public void Score(int position, in LogitsResult logits)
    {
        _scoredCount = position + 1;
        OnToken(position, logits.TargetLogit, logits);
    }

    /// <summary>Appends a drawn token, or ends the sequence with it.</summary>
    /// <param name="tokenId">The token; -1 where none is left to draw.</param>
    /// <param name="logit">Its logit as the model has it.</param>
    /// <param name="logits">What it was drawn from.</param>
    public void Append(int tokenId, float logit, in LogitsResult logits)
    {
        if (tokenId < 0 || StopTokenIds.Contains(tokenId))
        {
            Finish(FinishReason.Stop, tokenId);
            return;
        }

        if (Count == _tokens.Length)
        {
            Array.Resize(ref _tokens, Math.Min(_end, 2 * Count));
        }

        _tokens[Count++] = tokenId;
        TakeNote(tokenId);
        OnToken(Count - 1, logit, logits);
        if (Count == _end)
        {
            Finish(FinishReason.Length, tokenId: -1);
        }
    }

    /// <summary>
    /// Ends a sequence that has no room for new tokens once its prompt has been run as far as is needed, at once where nothing is; others end in
    /// <see cref="Append"/>.
    /// </summary>
    public void FinishIfComplete()
    {
        if (!IsFinished && Count >= _end && PendingCount <= 0)
        {
            Finish(FinishReason.Length, tokenId: -1);
        }
    }

    /// <summary>Called with each token of which the model told something that was not reported before.</summary>
    /// <param name="position">The token's, which is among <see cref="Tokens"/>.</param>
    /// <param name="logit">The token's logit, as the model has it.</param>
    /// <param name="logits">All that is known at this place, the greatest logits where alternatives are wanted.</param>
    protected abstract void OnToken(int position, float logit, in LogitsResult logits);

    /// <summary>Called once, at the end.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="stopTokenId">The stop token that ended it; -1 for none.</param>
    protected abstract void OnFinish(FinishReason reason, int stopTokenId);

    /// <summary>The natural logarithm of a token's probability.</summary>
    protected static float LogProbability(float logit, float logSumExp)
        => MathF.Min(0, logit - logSumExp); // rounding may leave the sum of all below its largest part; a probability above 1 would be a surprise

    private void TakeNote(int tokenId)
    {
        if (Sampling.HasPenalties)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(Counts, tokenId, out _)++;
        }

        Sampling.Constraint?.Accept(tokenId);
    }

    private void Finish(FinishReason reason, int tokenId)
    {
        IsFinished = true;
        OnFinish(reason, tokenId);
    }
}
