using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>One prompt of a call of <see cref="LlamaGenerator"/>: the log probabilities of its tokens, and what they say as text.</summary>
internal sealed class GenerationRow : Sequence
{
    private readonly GenerationOptions _options;
    private readonly Action<RowUpdate>? _onUpdate;
    private readonly Utf8StreamDecoder _decoder;
    private readonly int _tokenizerSize;
    private readonly List<float> _logProbabilities; // [position], of the token at that position
    private readonly List<string> _strings = []; // of the result's tokens
    private FinishReason _finishReason;

    public GenerationRow(
        int index,
        IReadOnlyList<int> prompt,
        int maxSequenceLength,
        GenerationOptions options,
        ReadOnlySpan<int> stopTokenIds,
        Tokenizer tokenizer,
        Action<RowUpdate>? onUpdate)
        : base(
            [.. prompt],
            [],
            options.MaxGenerationLength ?? maxSequenceLength,
            maxSequenceLength,
            options.Sampling(index),
            stopTokenIds,
            scoresPrompt: options is { Echo: true, LogProbabilities: true })
    {
        Slot = index;
        _options = options;
        _onUpdate = onUpdate;
        _decoder = new Utf8StreamDecoder(tokenizer);
        _tokenizerSize = tokenizer.VocabularySize;
        _logProbabilities = [.. new float[PromptLength]];
        if (options.Echo)
        {
            foreach (var tokenId in prompt)
            {
                Say(tokenId);
            }
        }

        FinishIfComplete();
    }

    /// <summary>The outcome of a finished row.</summary>
    public GenerationResult ToResult()
    {
        var start = _options.Echo ? 0 : PromptLength;
        return new GenerationResult
        {
            PromptTokens = Tokens[..PromptLength].ToArray(),
            Tokens = Tokens[start..].ToArray(),
            TokenStrings = _strings,
            LogProbabilities = _options.LogProbabilities ? _logProbabilities[start..] : null,
            Text = string.Concat(_strings),
            FinishReason = _finishReason,
        };
    }

    protected override void OnToken(int position, float logit, in LogitsResult logits)
    {
        var logProbability = LogProbability(logit, logits.LogSumExp);
        if (position < PromptLength)
        {
            _logProbabilities[position] = logProbability;
            return;
        }

        _logProbabilities.Add(logProbability);
        Say(Tokens[position]);
    }

    protected override void OnFinish(FinishReason reason, int stopTokenId)
    {
        _finishReason = reason;
        var rest = _decoder.Flush();
        if (rest.Length > 0)
        {
            _strings[^1] += rest;
        }

        _onUpdate?.Invoke(new RowUpdate(Slot, TokenId: null, rest, reason));
    }

    private void Say(int tokenId)
    {
        var text = tokenId < _tokenizerSize ? _decoder.Push(tokenId) : ""; // a model may have more ids than its tokenizer
        _strings.Add(text);
        _onUpdate?.Invoke(new RowUpdate(Slot, tokenId, text, FinishReason: null));
    }
}
