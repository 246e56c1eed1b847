using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// Which block of the cache holds which part of each slot's sequence, the same on every rank: rank 0 decides it and sends with each step what has changed.
/// </summary>
internal sealed unsafe class BlockTables
{
    private const int None = -1;

    private readonly int[] _blocks; // [slot, part], pinned
    private readonly int _partCount;

    /// <param name="slotCount">Sequences at once.</param>
    /// <param name="partCount">Blocks of the longest one.</param>
    public BlockTables(int slotCount, int partCount)
    {
        _partCount = partCount;
        _blocks = GC.AllocateUninitializedArray<int>(slotCount * partCount, pinned: true);
        _blocks.AsSpan().Fill(None);
    }

    /// <summary>The block that holds a position; -1 for none.</summary>
    public int BlockOf(int slot, int position) => _blocks[(slot * _partCount) + (position / KeyValueCache.BlockLength)];

    /// <summary>The blocks of a slot: [part].</summary>
    public int* Of(int slot) => (int*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref _blocks[slot * _partCount]); // pinned

    /// <summary>Takes over what a step changes.</summary>
    public void Apply(ReadOnlySpan<StepBlock> changes)
    {
        foreach (var change in changes)
        {
            _blocks[(change.Slot * _partCount) + change.Part] = change.Block;
        }
    }

    /// <summary>One sentence where a token of the step has no block to go to, or lacks one of those before it; otherwise <see langword="null"/>.</summary>
    public string? FindMistake(StepCommand command)
    {
        var slot = -1;
        foreach (var token in command.Tokens)
        {
            // Positions of a slot follow each other: what is there for the first of them stays.
            for (var part = token.Slot == slot ? token.Position / KeyValueCache.BlockLength : 0; part <= token.Position / KeyValueCache.BlockLength; part++)
            {
                if (_blocks[(token.Slot * _partCount) + part] == None)
                {
                    return $"{token} has no block of the cache for part {part} of its sequence.";
                }
            }

            slot = token.Slot;
        }

        return null;
    }
}
