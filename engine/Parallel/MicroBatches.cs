namespace Distributed.Engine.Parallel;

/// <summary>
/// The parts into which the tokens of a step are cut, so that the stages of a pipeline work at once: while a stage runs a part, the one before it runs
/// the next. Which tokens run together changes no bit of the result.
/// </summary>
/// <param name="tokenCount">Tokens of the step.</param>
/// <param name="maxCount">The greatest number of parts.</param>
internal readonly struct MicroBatches(int tokenCount, int maxCount)
{
    /// <summary>
    /// The least tokens of a part, and of what its length is a multiple: the kernels multiply blocks of 16 tokens, and of fewer a step waits for memory,
    /// so that halves of it take as long as the whole.
    /// </summary>
    public const int Grain = 16;

    private const int PartsAStage = 8;

    private readonly int _length = Math.Max(Grain, ((tokenCount + maxCount - 1) / maxCount + Grain - 1) / Grain * Grain);

    /// <summary>Parts of the step.</summary>
    public int Count => (tokenCount + _length - 1) / _length;

    /// <summary>The greatest number of parts where nothing is said: 1 where there is one stage, else eight a stage, so that filling and emptying the pipeline takes a ninth of the time at most.</summary>
    public static int DefaultCount(int stageCount) => stageCount == 1 ? 1 : PartsAStage * stageCount;

    /// <summary>The tokens of a part.</summary>
    public ShardRange this[int part] => new(part * _length, Math.Min(_length, tokenCount - (part * _length)));
}
