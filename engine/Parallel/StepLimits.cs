namespace Distributed.Engine.Parallel;

/// <summary>The sizes that every command must keep within, the same on every rank.</summary>
/// <param name="VocabularySize">Token ids.</param>
/// <param name="MaxBatchSize">Slots, and rows that may have to be kept in one step.</param>
/// <param name="MaxSequenceLength">Positions.</param>
/// <param name="MaxTokensPerStep">Tokens, and outputs, of a step.</param>
/// <param name="CacheBlockCount">Blocks of the key-value cache.</param>
internal readonly record struct StepLimits(int VocabularySize, int MaxBatchSize, int MaxSequenceLength, int MaxTokensPerStep, int CacheBlockCount)
{
    private const int BlockLength = 64; // as the kernels have it

    /// <summary>Blocks of the longest sequence.</summary>
    public int MaxPartCount => (int)(((long)MaxSequenceLength + BlockLength - 1) / BlockLength);

    /// <summary>Changes of blocks in one step: every part of every slot, twice where a slot was given up and taken again.</summary>
    public int MaxChangeCount => checked(2 * MaxBatchSize * MaxPartCount);

    /// <summary>One sentence that says what is wrong with <paramref name="command"/>; <see langword="null"/> where nothing is.</summary>
    public string? FindMistake(StepCommand command)
    {
        if (command.Tokens.IsEmpty || command.Tokens.Length > MaxTokensPerStep || command.Outputs.Length > MaxTokensPerStep)
        {
            return $"A step of {command.Tokens.Length} tokens and {command.Outputs.Length} outputs is outside of " +
                $"1 to {MaxTokensPerStep} tokens and 0 to {MaxTokensPerStep} outputs.";
        }

        foreach (var token in command.Tokens)
        {
            if (!IsBelow(token.TokenId, VocabularySize) || !IsBelow(token.Slot, MaxBatchSize) || !IsBelow(token.Position, MaxSequenceLength))
            {
                return $"{token} is outside of {VocabularySize} token ids, {MaxBatchSize} slots and {MaxSequenceLength} positions.";
            }
        }

        foreach (var block in command.Blocks)
        {
            if (!IsBelow(block.Slot, MaxBatchSize) || !IsBelow(block.Part, MaxPartCount) || !IsBelow(block.Block, CacheBlockCount))
            {
                return $"{block} is outside of {MaxBatchSize} slots, {MaxPartCount} parts and {CacheBlockCount} blocks.";
            }
        }

        var detailed = 0;
        foreach (var output in command.Outputs)
        {
            if (!IsBelow(output.TokenIndex, command.Tokens.Length)
                || !(output.TargetTokenId == -1 || IsBelow(output.TargetTokenId, VocabularySize))
                || !(output.Temperature == 0 || (output.Temperature >= StepOutput.MinTemperature && float.IsFinite(output.Temperature)))
                || output.Detail > LogitsDetail.FullRow)
            {
                return $"{output} does not name one of the step's {command.Tokens.Length} tokens, a target among {VocabularySize} " +
                    $"token ids or none (-1), a temperature of 0 or from {StepOutput.MinTemperature}, and a known detail.";
            }

            detailed += output.Detail < LogitsDetail.Candidates ? 0 : 1;
        }

        return detailed > MaxBatchSize
            ? $"Rows of {detailed} outputs are to be kept in one step, which is more than the batch size {MaxBatchSize}."
            : null;
    }

    private static bool IsBelow(int value, int limit) => (uint)value < (uint)limit;
}
