namespace Distributed.Engine.Generation;

/// <summary>Why a row ended.</summary>
public enum FinishReason
{
    /// <summary>A stop token was generated.</summary>
    Stop,

    /// <summary>max_gen_len tokens were generated, or max_seq_len left no room for more.</summary>
    Length,
}

/// <summary>
/// One row's outcome. <see cref="Tokens"/>, <see cref="TokenStrings"/> and <see cref="LogProbabilities"/> are of equal length.
/// </summary>
public sealed record GenerationResult
{
    /// <summary>The prompt as it entered the model.</summary>
    public required IReadOnlyList<int> PromptTokens { get; init; }

    /// <summary>The prompt's tokens if echo was asked for, then the new ones, without the stop token.</summary>
    public required IReadOnlyList<int> Tokens { get; init; }

    /// <summary>
    /// What each token adds to <see cref="Text"/>; joined they are the text. A token that ends inside a UTF-8 sequence adds nothing, the
    /// one that completes the sequence adds the character.
    /// </summary>
    public required IReadOnlyList<string> TokenStrings { get; init; }

    /// <summary>
    /// log P(token | all before it), natural, from the raw logits, 0 or less; 0 for the first token of an echoed prompt, which nothing
    /// predicts. <see langword="null"/> where it was not asked for.
    /// </summary>
    public required IReadOnlyList<float>? LogProbabilities { get; init; }

    /// <summary>
    /// What the decoder gives for <see cref="Tokens"/> on their own: without the space that SentencePiece puts before the first word.
    /// </summary>
    public required string Text { get; init; }

    /// <summary>Why the row ended.</summary>
    public required FinishReason FinishReason { get; init; }

    /// <summary>The answer to a dialog that contains the chat format's tags.</summary>
    internal static GenerationResult Refused { get; } = new()
    {
        PromptTokens = [],
        Tokens = [],
        TokenStrings = [],
        LogProbabilities = null,
        Text = ChatFormat.SpecialTagsError,
        FinishReason = FinishReason.Stop,
    };
}

/// <summary>News of a row while it is generated: a piece of its text, or its end.</summary>
/// <param name="Row">Index of the prompt in the call.</param>
/// <param name="TokenId">The token behind <paramref name="Text"/>; <see langword="null"/> at the end.</param>
/// <param name="Text">What it adds to the row's text, possibly nothing; at the end what the decoder still held back.</param>
/// <param name="FinishReason">Set at the end, once a row.</param>
public readonly record struct RowUpdate(int Row, int? TokenId, string Text, FinishReason? FinishReason);
