namespace Distributed.Engine.Generation;

/// <summary>What a call may ask for: the bounds of the model and of the cache that was allocated for it.</summary>
/// <param name="MaxSequenceLength">Positions a row, prompt and new tokens together.</param>
/// <param name="MaxBatchSize">Rows a call.</param>
/// <param name="VocabularySize">Token ids are below this.</param>
public sealed record GenerationLimits(int MaxSequenceLength, int MaxBatchSize, int VocabularySize)
{
    /// <summary>One sentence if <paramref name="prompt"/> cannot be run, else <see langword="null"/>.</summary>
    /// <param name="name">How the sentence names it: <c>Prompt 3</c>.</param>
    /// <param name="prompt">Token ids.</param>
    public string? Problem(string name, IReadOnlyList<int> prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        if (prompt.Count == 0)
        {
            return $"{name} has no tokens; it must have at least one, the BOS token.";
        }

        if (prompt.Count > MaxSequenceLength)
        {
            return $"{name} has {prompt.Count} tokens but max_seq_len is {MaxSequenceLength}; shorten the prompt or raise max_seq_len.";
        }

        foreach (var tokenId in prompt)
        {
            if (tokenId < 0 || tokenId >= VocabularySize)
            {
                return $"{name} has token id {tokenId}; this model's ids are 0 to {VocabularySize - 1}.";
            }
        }

        return null;
    }
}
