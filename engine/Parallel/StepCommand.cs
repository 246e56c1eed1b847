using System.Runtime.InteropServices;

namespace Distributed.Engine.Parallel;

/// <summary>One token to run.</summary>
/// <param name="TokenId">Its id.</param>
/// <param name="Slot">The row of the key-value cache that holds its sequence.</param>
/// <param name="Position">Its place in the sequence, from 0.</param>
public readonly record struct StepToken(int TokenId, int Slot, int Position);

/// <summary>From this step on a block of the cache holds a part of a slot's sequence.</summary>
/// <param name="Slot">The slot.</param>
/// <param name="Part">Which part: position / 64.</param>
/// <param name="Block">The block.</param>
internal readonly record struct StepBlock(int Slot, int Part, int Block);

/// <summary>How much of a row of logits rank 0 wants to have.</summary>
public enum LogitsDetail : byte
{
    /// <summary>The best token, the log-sum-exp and the target's logit.</summary>
    Best,

    /// <summary>Also the greatest logits, sorted.</summary>
    Alternatives,

    /// <summary>Likewise, and the row is kept until the next step, so that it can be asked for.</summary>
    Candidates,

    /// <summary>Also the whole row.</summary>
    FullRow,
}

/// <summary>What rank 0 wants to know about the logits that follow a token.</summary>
/// <param name="TokenIndex">Which of the step's tokens.</param>
/// <param name="TargetTokenId">A token whose logit is wanted; -1 for none.</param>
/// <param name="Temperature">
/// Where it is above 0, the sum of softmax(logits / temperature) is wanted too; at least <see cref="StepOutput.MinTemperature"/>, below which
/// the quotients could leave float32.
/// </param>
/// <param name="Detail">How much of the row.</param>
public readonly record struct StepOutput(int TokenIndex, int TargetTokenId, float Temperature, LogitsDetail Detail)
{
    /// <summary>The smallest temperature that is not 0.</summary>
    public const float MinTemperature = 1e-6f;
}

/// <summary>
/// One pass through the model: tokens of any mix of sequences and positions, and which of their logits are wanted. Reusable; adding
/// allocates only while a command grows beyond every one before it.
/// </summary>
/// <remarks>Tokens of one slot follow each other with ascending positions, without a gap to those that ran before.</remarks>
public sealed class StepCommand
{
    private readonly List<StepToken> _tokens = [];
    private readonly List<StepOutput> _outputs = [];
    private readonly List<StepBlock> _blocks = [];

    /// <summary>The tokens to run.</summary>
    public ReadOnlySpan<StepToken> Tokens => CollectionsMarshal.AsSpan(_tokens);

    /// <summary>The logits wanted.</summary>
    public ReadOnlySpan<StepOutput> Outputs => CollectionsMarshal.AsSpan(_outputs);

    /// <summary>What changes in the slots' blocks, which the leader adds.</summary>
    internal ReadOnlySpan<StepBlock> Blocks => CollectionsMarshal.AsSpan(_blocks);

    /// <summary>Empties the command.</summary>
    public void Clear()
    {
        _tokens.Clear();
        _outputs.Clear();
        _blocks.Clear();
    }

    /// <summary>Adds a token; its index is the number of tokens before it.</summary>
    public void AddToken(int tokenId, int slot, int position) => _tokens.Add(new StepToken(tokenId, slot, position));

    /// <summary>Asks for the logits that follow the token at <paramref name="tokenIndex"/>; see <see cref="StepOutput"/>.</summary>
    public void AddOutput(int tokenIndex, int targetTokenId = -1, float temperature = 0, LogitsDetail detail = LogitsDetail.Best)
        => _outputs.Add(new StepOutput(tokenIndex, targetTokenId, temperature, detail));

    /// <summary>States what changes in the slots' blocks.</summary>
    internal void SetBlocks(List<StepBlock> blocks)
    {
        _blocks.Clear();
        _blocks.AddRange(blocks);
    }

    /// <summary>A block of the cache holds a part of a slot from now on.</summary>
    internal void AddBlock(int slot, int part, int block) => _blocks.Add(new StepBlock(slot, part, block));
}
