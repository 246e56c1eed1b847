using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>One prompt on its way to a result: the tokens it has, how many of them have been run, and what they say as text.</summary>
internal sealed class GenerationRow
{
    private readonly GenerationOptions _options;
    private readonly Action<RowUpdate>? _onUpdate;
    private readonly Utf8StreamDecoder _decoder;
    private readonly int _tokenizerSize;
    private readonly int _promptLength;
    private readonly int[] _tokens; // [position]: the prompt, then what was generated, then room
    private readonly float[] _logProbabilities; // [position], of the token at that position
    private readonly List<string> _strings = []; // of the result's tokens
    private readonly int _runEnd; // tokens at this position and after bring nothing that the result needs
    private FinishReason _finishReason;

    public GenerationRow(
        int index,
        IReadOnlyList<int> prompt,
        int maxSequenceLength,
        GenerationOptions options,
        Tokenizer tokenizer,
        Action<RowUpdate>? onUpdate)
    {
        Index = index;
        _options = options;
        _onUpdate = onUpdate;
        _decoder = new Utf8StreamDecoder(tokenizer);
        _tokenizerSize = tokenizer.VocabularySize;
        _promptLength = prompt.Count;
        var room = Math.Min(options.MaxGenerationLength ?? maxSequenceLength, maxSequenceLength - _promptLength);
        _tokens = [.. prompt, .. new int[room]];
        _logProbabilities = new float[_tokens.Length];
        Count = _promptLength;
        _runEnd = room > 0 ? _tokens.Length : ScoresPrompt ? _promptLength - 1 : 0;
    }

    /// <summary>Index of the prompt in the call, and the slot of the cache that holds it.</summary>
    public int Index { get; }

    /// <summary>Number of tokens, prompt and generated.</summary>
    public int Count { get; private set; }

    /// <summary>Number of tokens that were given to the model.</summary>
    public int RunCount { get; private set; }

    /// <summary>Number of tokens that wait to be run: the rest of the prompt, or the token drawn last.</summary>
    public int PendingCount => Math.Min(Count, _runEnd) - RunCount;

    /// <summary>Whether the next token to run is one of the prompt.</summary>
    public bool IsInPrompt => RunCount < _promptLength;

    /// <summary>Whether the row has its result.</summary>
    public bool IsFinished { get; private set; }

    private bool ScoresPrompt => _options is { Echo: true, LogProbabilities: true };

    /// <summary>The token at <paramref name="position"/>.</summary>
    public int this[int position] => _tokens[position];

    /// <summary>Whether the logits after the token at <paramref name="position"/> decide the next token.</summary>
    public bool DrawsAfter(int position) => position == Count - 1 && Count < _tokens.Length;

    /// <summary>Whether the logits after it tell the log probability of a prompt token that the result shows.</summary>
    public bool ScoresAfter(int position) => ScoresPrompt && position + 1 < _promptLength;

    /// <summary>Announces an echoed prompt and ends a row that has nothing to run; called once, first.</summary>
    public void Start()
    {
        if (_options.Echo)
        {
            for (var position = 0; position < _promptLength; position++)
            {
                Say(_tokens[position]);
            }
        }

        FinishIfComplete();
    }

    /// <summary>The next <paramref name="count"/> pending tokens are part of a step.</summary>
    public void Advance(int count) => RunCount += count;

    /// <summary>Keeps the log probability of the token at <paramref name="position"/>.</summary>
    public void Score(int position, float logProbability) => _logProbabilities[position] = logProbability;

    /// <summary>Appends a drawn token, or ends the row with it.</summary>
    public void Append(int tokenId, float logProbability, ReadOnlySpan<int> stopTokenIds)
    {
        if (stopTokenIds.Contains(tokenId))
        {
            Finish(FinishReason.Stop);
            return;
        }

        _tokens[Count] = tokenId;
        _logProbabilities[Count] = logProbability;
        Count++;
        Say(tokenId);
        if (Count == _tokens.Length)
        {
            Finish(FinishReason.Length);
        }
    }

    /// <summary>
    /// Ends a row that has no room for new tokens once its prompt has been run as far as the result needs; others end in
    /// <see cref="Append"/>.
    /// </summary>
    public void FinishIfComplete()
    {
        if (!IsFinished && _tokens.Length == _promptLength && PendingCount == 0)
        {
            Finish(FinishReason.Length);
        }
    }

    /// <summary>The outcome of a finished row.</summary>
    public GenerationResult ToResult()
    {
        var start = _options.Echo ? 0 : _promptLength;
        return new GenerationResult
        {
            PromptTokens = _tokens[.._promptLength],
            Tokens = _tokens[start..Count],
            TokenStrings = _strings,
            LogProbabilities = _options.LogProbabilities ? _logProbabilities[start..Count] : null,
            Text = string.Concat(_strings),
            FinishReason = _finishReason,
        };
    }

    private void Finish(FinishReason reason)
    {
        IsFinished = true;
        _finishReason = reason;
        var rest = _decoder.Flush();
        if (rest.Length > 0)
        {
            _strings[^1] += rest;
        }

        _onUpdate?.Invoke(new RowUpdate(Index, TokenId: null, rest, reason));
    }

    private void Say(int tokenId)
    {
        var text = tokenId < _tokenizerSize ? _decoder.Push(tokenId) : ""; // a model may have more ids than its tokenizer
        _strings.Add(text);
        _onUpdate?.Invoke(new RowUpdate(Index, tokenId, text, FinishReason: null));
    }
}
