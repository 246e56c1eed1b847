namespace Distributed.Engine.Constraints;

/// <summary>
/// Which tokens keep a text within a <see cref="ByteGrammar"/>. Shared by all answers to one schema; calls take turns.
/// </summary>
/// <remarks>
/// The idea is XGrammar's (Dong et al., 2024): what a token does within the rule at the top of the stack does not depend on what is below, so it
/// is found once for a node, by one walk over all tokens, and kept. Only the tokens that leave that rule are looked at again for the stack at hand,
/// and these are few: they have the quotation mark or bracket in them that ends it.
/// </remarks>
internal sealed class ConstraintMachine
{
    private const int MaxMaskCount = 64;
    private const int MaxTableByteCount = 8 << 20; // more are forgotten and made again

    private readonly ByteGrammar _grammar;
    private readonly TokenTrie _trie;
    private readonly ConfigurationTable _configurations;
    private readonly Dictionary<(int Node, int Below, int Above), TokenTable> _tables = [];
    private readonly Dictionary<Configuration, ulong[]> _masks = []; // of the configurations of late: within a string they are one
    private readonly Configuration[] _path; // [depth in the trie]
    private readonly Lock _turn = new();
    private long _tableByteCount;

    public ConstraintMachine(ByteGrammar grammar, TokenTrie trie)
    {
        (_grammar, _trie, _configurations) = (grammar, trie, new ConfigurationTable(grammar));
        _path = new Configuration[trie.LongestToken + 1];
    }

    /// <summary>Nodes of the tokens' tree that were visited so far: the work done, for tests.</summary>
    public long VisitedNodeCount { get; private set; }

    /// <summary>What masks are made of, in words of 64 tokens.</summary>
    public int MaskLength => (_trie.VocabularySize + 63) / 64;

    public (Configuration Configuration, int Generation) Start()
    {
        lock (_turn)
        {
            return (_configurations.Start(), _configurations.Generation);
        }
    }

    /// <summary>The configuration behind a token; <see langword="null"/> where it is not allowed.</summary>
    public Configuration? Accept(Configuration configuration, int tokenId, ref int generation)
    {
        lock (_turn)
        {
            configuration = Current(configuration, ref generation);
            var bytes = _trie.BytesOf(tokenId);
            foreach (var value in bytes)
            {
                configuration = _configurations.Step(configuration, value);
            }

            return bytes.IsEmpty || configuration.IsDead ? null : configuration;
        }
    }

    /// <summary>Sets the bits of the tokens that may follow; the others become 0.</summary>
    public Configuration FillMask(Configuration configuration, Span<ulong> mask, ref int generation)
    {
        lock (_turn)
        {
            configuration = Current(configuration, ref generation);
            if (_masks.TryGetValue(configuration, out var known))
            {
                known.CopyTo(mask);
                return configuration;
            }

            mask.Clear();
            foreach (var frame in configuration.Frames)
            {
                AddTokens(frame, mask);
            }

            if (_masks.Count >= MaxMaskCount)
            {
                _masks.Clear();
            }

            _masks.Add(configuration, mask[..MaskLength].ToArray());
            return configuration;
        }
    }

    private Configuration Current(Configuration configuration, ref int generation)
    {
        _configurations.Trim();
        var current = generation == _configurations.Generation ? configuration : _configurations.Renew(configuration);
        generation = _configurations.Generation;
        return current;
    }

    private void AddTokens(Frame frame, Span<ulong> mask)
    {
        var table = TableOf(frame);
        if (frame.Depth - _grammar.Cost(frame.Node) + table.Reach > ConfigurationTable.MaxDepth)
        {
            // So deep that some of the table's ways may be closed.
            Walk(_configurations.Only(frame, relative: false), 0, _trie.NodeCount, mask, leaving: null);
            return;
        }

        table.AddTo(mask);
        if (table.Leaving.Length > 0)
        {
            var behind = _configurations.Behind(frame);
            foreach (var node in table.Leaving)
            {
                _trie.Mark(node, mask);
                Walk(behind, node + 1, _trie.End(node), mask, leaving: null);
            }
        }
    }

    private TokenTable TableOf(Frame frame)
    {
        // A counter that no token can bring to its bounds says nothing.
        var rule = _grammar.Rules[_grammar.RuleOf[frame.Node]];
        var horizon = _trie.LongestToken + 1;
        var key = (frame.Node, Math.Clamp(rule.Least - frame.Count, 0, horizon), Math.Min(rule.Most - frame.Count, horizon));
        if (_tables.TryGetValue(key, out var table))
        {
            return table;
        }

        var mask = new ulong[MaskLength];
        var leaving = new List<int>();
        var reach = Walk(_configurations.Only(frame, relative: true), 0, _trie.NodeCount, mask, leaving);
        table = new TokenTable(mask, [.. leaving], reach);
        _tableByteCount += table.ByteCount;
        if (_tableByteCount > MaxTableByteCount)
        {
            _tables.Clear();
            _tableByteCount = table.ByteCount;
        }

        _tables.Add(key, table);
        return table;
    }

    // Marks the tokens at the nodes first to end - 1 of the tree that the language allows, and notes where what is known ends. Returns the reach.
    private int Walk(Configuration start, int first, int end, Span<ulong> mask, List<int>? leaving)
    {
        var reach = start.Reach;
        var above = first < end ? _trie.Depth(first) - 1 : 0;
        _path[above] = start;
        for (var node = first; node < end;)
        {
            VisitedNodeCount++;
            var depth = _trie.Depth(node);
            var next = _configurations.Step(_path[depth - 1], _trie.Byte(node));
            reach = Math.Max(reach, next.Reach);
            if (next.IsLeft)
            {
                leaving!.Add(node);
            }

            if (next.Frames.Length > 0 || next.IsComplete)
            {
                _trie.Mark(node, mask);
            }

            _path[depth] = next;
            node = next.Frames.Length > 0 ? node + 1 : _trie.End(node);
        }

        return reach;
    }
}
