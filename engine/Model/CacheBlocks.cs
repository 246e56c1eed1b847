using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// Rank 0's book of the cache: how far each slot is filled, which blocks it has, and which blocks are free. Full blocks can be kept for the
/// prefix that they hold and shared by sequences that begin alike; nobody writes to such a block any more.
/// </summary>
/// <remarks>
/// Changes are collected and go out with the next step. A block that no slot holds is free, or kept for its prefix until its memory is needed: the
/// one that was held the longest time ago goes first.
/// </remarks>
internal sealed class CacheBlocks
{
    private readonly int _partCount;
    private readonly int[] _blocks; // [slot, part]
    private readonly int[] _counts; // [slot], blocks that it has
    private readonly int[] _keptCounts; // [slot], of these the first that are kept for their prefixes
    private readonly int[] _filled; // [slot], positions that hold a token
    private readonly int[] _next; // [slot], likewise after the step that is being checked
    private readonly int[] _stepNumbers; // [slot], the last step that used it
    private readonly int[] _references; // [block], slots that have it
    private readonly Stack<int> _free;
    private readonly PrefixIndex _prefixes;
    private readonly List<StepBlock> _changes = []; // that no rank has heard of
    private int _stepNumber;

    /// <param name="slotCount">Sequences at once.</param>
    /// <param name="maxSequenceLength">Positions of a sequence.</param>
    /// <param name="blockCount">Blocks.</param>
    public CacheBlocks(int slotCount, int maxSequenceLength, int blockCount)
    {
        _partCount = KeyValueCache.BlocksFor(maxSequenceLength);
        _blocks = new int[slotCount * _partCount];
        _counts = new int[slotCount];
        _keptCounts = new int[slotCount];
        _filled = new int[slotCount];
        _next = new int[slotCount];
        _stepNumbers = new int[slotCount];
        _references = new int[blockCount];
        _free = new Stack<int>(Enumerable.Range(0, blockCount).Reverse()); // low numbers first: memory that was never used stays untouched
        _prefixes = new PrefixIndex(blockCount);
    }

    /// <summary>All blocks.</summary>
    public int TotalCount => _references.Length;

    /// <summary>Blocks that no slot has and that are kept for their prefixes.</summary>
    public int IdleCount => _prefixes.IdleCount;

    /// <summary>Blocks that slots have, each counted once.</summary>
    public int UsedCount => TotalCount - AvailableCount;

    /// <summary>Blocks that a slot can get.</summary>
    public int AvailableCount => _free.Count + _prefixes.IdleCount;

    /// <summary>Blocks that a slot has.</summary>
    public int CountOf(int slot) => _counts[slot];

    /// <summary>
    /// Checks a step, takes note of it, and gives its slots the blocks that they need. A slot's first token may be at a position that was
    /// written before, which forgets all that came after it; those that follow are its direct successors.
    /// </summary>
    /// <returns>One sentence that says what is wrong, and nothing is noted then; otherwise <see langword="null"/>, and the step has its changes.</returns>
    public string? Advance(StepCommand command)
    {
        _filled.CopyTo(_next, 0);
        _stepNumber++;
        foreach (var token in command.Tokens)
        {
            ref var filled = ref _next[token.Slot];
            var isFirst = _stepNumbers[token.Slot] != _stepNumber;
            if (token.Position > filled || (token.Position < filled && !isFirst))
            {
                return $"{token} does not follow the {filled} positions that slot {token.Slot} holds.";
            }

            if (token.Position < _keptCounts[token.Slot] * KeyValueCache.BlockLength)
            {
                return $"{token} is in a block that is kept for its prefix.";
            }

            _stepNumbers[token.Slot] = _stepNumber;
            filled = token.Position + 1;
        }

        var missing = 0;
        for (var slot = 0; slot < _next.Length; slot++)
        {
            missing += Math.Max(0, KeyValueCache.BlocksFor(_next[slot]) - _counts[slot]);
        }

        if (missing > AvailableCount)
        {
            return $"The step needs {missing} more blocks of the key-value cache, which has {AvailableCount} of {TotalCount} left.";
        }

        for (var slot = 0; slot < _next.Length; slot++)
        {
            TryReserve(slot, _next[slot]);
        }

        _next.CopyTo(_filled, 0);
        command.SetBlocks(_changes);
        _changes.Clear();
        return null;
    }

    /// <summary>Gives a slot blocks for so many positions in all; false, and nothing has changed, where there are not enough.</summary>
    public bool TryReserve(int slot, int positionCount)
    {
        var count = KeyValueCache.BlocksFor(positionCount);
        if (count - _counts[slot] > AvailableCount)
        {
            return false;
        }

        while (_counts[slot] < count)
        {
            var block = _free.Count > 0 ? _free.Pop() : _prefixes.Evict();
            _references[block] = 1;
            Append(slot, block);
        }

        return true;
    }

    /// <summary>Begins a sequence in a slot that has nothing: takes over the blocks of the longest prefix that is kept.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="tokens">The sequence, as far as its blocks may be taken over.</param>
    /// <param name="owner">Prefixes are shared within one owner only.</param>
    /// <returns>Positions that need not be computed, whole blocks.</returns>
    public int Adopt(int slot, ReadOnlySpan<int> tokens, string owner)
    {
        for (var parent = PrefixIndex.Root; tokens.Length >= KeyValueCache.BlockLength; tokens = tokens[KeyValueCache.BlockLength..])
        {
            var block = _prefixes.Find(parent, tokens[..KeyValueCache.BlockLength], owner);
            if (block < 0)
            {
                break;
            }

            Take(block);
            Append(slot, block);
            parent = block;
        }

        _keptCounts[slot] = _counts[slot];
        return _filled[slot] = _counts[slot] * KeyValueCache.BlockLength;
    }

    /// <summary>Takes over further blocks of the prefix in a slot whose blocks are full and kept as far as it is filled.</summary>
    /// <inheritdoc cref="Adopt"/>
    public int AdoptMore(int slot, ReadOnlySpan<int> tokens, string owner)
    {
        ref var kept = ref _keptCounts[slot];
        while (_filled[slot] == kept * KeyValueCache.BlockLength && tokens.Length >= (kept + 1) * KeyValueCache.BlockLength)
        {
            var parent = kept == 0 ? PrefixIndex.Root : _blocks[(slot * _partCount) + kept - 1];
            var block = _prefixes.Find(parent, tokens.Slice(kept * KeyValueCache.BlockLength, KeyValueCache.BlockLength), owner);
            if (block < 0)
            {
                break;
            }

            if (kept < _counts[slot])
            {
                Replace(slot, kept, block);
            }
            else
            {
                Take(block);
                Append(slot, block);
            }

            kept++;
            _filled[slot] += KeyValueCache.BlockLength;
        }

        return _filled[slot];
    }

    /// <summary>Keeps the blocks that are full for the prefix that they hold; the step that filled them has gone well.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="tokens">Its tokens, at least those that were run.</param>
    /// <param name="owner">Whose sequence it is.</param>
    public void Keep(int slot, ReadOnlySpan<int> tokens, string owner)
    {
        for (ref var kept = ref _keptCounts[slot]; (kept + 1) * KeyValueCache.BlockLength <= _filled[slot]; kept++)
        {
            var block = _blocks[(slot * _partCount) + kept];
            var parent = kept == 0 ? PrefixIndex.Root : _blocks[(slot * _partCount) + kept - 1];
            var part = tokens.Slice(kept * KeyValueCache.BlockLength, KeyValueCache.BlockLength);
            var known = _prefixes.Find(parent, part, owner);
            if (known < 0)
            {
                if (!_prefixes.TryAdd(block, parent, part, owner))
                {
                    return; // another prefix of the same hash is there: this one and what follows it are not kept
                }

                continue;
            }

            Replace(slot, kept, known); // another slot has computed the same, to the bit: one copy is enough
        }
    }

    /// <summary>Takes all blocks from a slot; those that are kept stay until their memory is needed.</summary>
    public void Release(int slot)
    {
        // From the end, so that of a prefix the last part is the first to go.
        for (var part = _counts[slot] - 1; part >= 0; part--)
        {
            var block = _blocks[(slot * _partCount) + part];
            if (--_references[block] > 0)
            {
                continue;
            }

            if (_prefixes.Contains(block))
            {
                _prefixes.SetIdle(block);
            }
            else
            {
                _free.Push(block);
            }
        }

        _counts[slot] = _keptCounts[slot] = _filled[slot] = 0;
        _changes.RemoveAll(change => change.Slot == slot);
    }

    // One more slot has a block that is kept.
    private void Take(int block)
    {
        if (_references[block]++ == 0)
        {
            _prefixes.SetBusy(block);
        }
    }

    // A slot has a block that is kept in place of one of its own.
    private void Replace(int slot, int part, int block)
    {
        ref var own = ref _blocks[(slot * _partCount) + part];
        _references[own] = 0;
        _free.Push(own);
        Take(block);
        own = block;
        _changes.Add(new StepBlock(slot, part, block));
    }

    private void Append(int slot, int block)
    {
        var part = _counts[slot]++;
        _blocks[(slot * _partCount) + part] = block;
        _changes.Add(new StepBlock(slot, part, block));
    }
}
