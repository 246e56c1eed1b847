using System.Runtime.InteropServices;

namespace Distributed.Engine.Model;

/// <summary>
/// Finds the block that holds given tokens behind a given prefix. A prefix is named by its last block, so that a chain of look-ups walks a tree (the idea of
/// vLLM's automatic prefix caching); tokens are compared, and hashes only say where to look.
/// </summary>
/// <remarks>
/// Idle blocks, which no slot has, are in a list by the time since when. A slot that has a block has its prefix too, and gives up the last part first: hence a prefix is
/// never evicted before what follows it, and no number of a block stands for another prefix than the one that was meant.
/// </remarks>
internal sealed class PrefixIndex
{
    /// <summary>The prefix of the first block.</summary>
    public const int Root = -1;

    private const int None = -1;

    private readonly Dictionary<(int Parent, ulong Hash), int> _blocks = [];
    private readonly (int Parent, ulong Hash)[] _keys; // [block]
    private readonly string?[] _owners; // [block], null for one that is not in the index
    private readonly int[]?[] _tokens; // [block][position in it], kept for the next when a block leaves
    private readonly int[] _older; // [block], neighbours in the list of idle ones
    private readonly int[] _younger;
    private int _oldest = None;
    private int _youngest = None;

    /// <param name="blockCount">Blocks.</param>
    public PrefixIndex(int blockCount)
    {
        _keys = new (int, ulong)[blockCount];
        _owners = new string?[blockCount];
        _tokens = new int[]?[blockCount];
        _older = new int[blockCount];
        _younger = new int[blockCount];
    }

    /// <summary>Blocks that are in the index and that no slot has.</summary>
    public int IdleCount { get; private set; }

    /// <summary>Whether a block is in the index.</summary>
    public bool Contains(int block) => _owners[block] is not null;

    /// <summary>The block of these tokens behind a prefix; -1 for none.</summary>
    /// <param name="parent">The prefix's last block, <see cref="Root"/> for none.</param>
    /// <param name="tokens">[<see cref="KeyValueCache.BlockLength"/>]</param>
    /// <param name="owner">Whose they are.</param>
    public int Find(int parent, ReadOnlySpan<int> tokens, string owner)
        => _blocks.TryGetValue((parent, Hash(tokens, owner)), out var block) && _owners[block] == owner && tokens.SequenceEqual(_tokens[block])
            ? block
            : None;

    /// <summary>Adds a busy block that <see cref="Find"/> does not find; false where its place is taken.</summary>
    public bool TryAdd(int block, int parent, ReadOnlySpan<int> tokens, string owner)
    {
        var key = (parent, Hash(tokens, owner));
        if (!_blocks.TryAdd(key, block))
        {
            return false;
        }

        _keys[block] = key;
        _owners[block] = owner;
        tokens.CopyTo(_tokens[block] ??= new int[KeyValueCache.BlockLength]);
        return true;
    }

    /// <summary>Some slot has the block again.</summary>
    public void SetBusy(int block)
    {
        var (older, younger) = (_older[block], _younger[block]);
        (older == None ? ref _oldest : ref _younger[older]) = younger;
        (younger == None ? ref _youngest : ref _older[younger]) = older;
        IdleCount--;
    }

    /// <summary>No slot has the block any more.</summary>
    public void SetIdle(int block)
    {
        (_older[block], _younger[block]) = (_youngest, None);
        (_youngest == None ? ref _oldest : ref _younger[_youngest]) = block;
        _youngest = block;
        IdleCount++;
    }

    /// <summary>Takes the block that has been idle the longest out of the index; there is one.</summary>
    public int Evict()
    {
        var block = _oldest;
        SetBusy(block);
        _blocks.Remove(_keys[block]);
        _owners[block] = null;
        return block;
    }

    private static ulong Hash(ReadOnlySpan<int> tokens, string owner)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15; // golden ratio
        var hash = (ulong)owner.GetHashCode(StringComparison.Ordinal);
        foreach (var pair in MemoryMarshal.Cast<int, ulong>(tokens))
        {
            hash = (hash ^ pair) * Multiplier;
            hash ^= hash >> 32;
        }

        return hash;
    }
}
