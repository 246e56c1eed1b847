namespace Distributed.Engine.Constraints;

/// <summary>Makes a <see cref="ByteGrammar"/> node by node.</summary>
internal sealed class GrammarBuilder
{
    /// <summary>The most nodes of a grammar: about 5 MB.</summary>
    public const int MaxNodeCount = 50_000;

    private readonly List<List<ByteEdge>> _edges = [];
    private readonly List<List<GrammarMove>> _moves = [];
    private readonly List<bool> _ends = [];
    private readonly List<int> _ruleOf = [];
    private readonly List<GrammarRule> _rules = [];

    /// <summary>Begins a rule, whose nodes may be added at any time.</summary>
    /// <param name="isContainer">An object or an array.</param>
    /// <param name="least">The counter's lower bound.</param>
    /// <param name="most">The counter's upper bound.</param>
    public int Rule(bool isContainer = false, int least = 0, int most = int.MaxValue)
    {
        _rules.Add(new GrammarRule(_edges.Count, isContainer, least, most));
        Node(_rules.Count - 1);
        return _rules.Count - 1;
    }

    public int Start(int rule) => _rules[rule].Start;

    /// <exception cref="SchemaException">There are too many.</exception>
    public int Node(int rule)
    {
        if (_edges.Count >= MaxNodeCount)
        {
            throw new SchemaException($"The schema needs more than {MaxNodeCount} states; make its patterns, enumerations or objects smaller.");
        }

        _edges.Add([]);
        _moves.Add([]);
        _ends.Add(false);
        _ruleOf.Add(rule);
        return _edges.Count - 1;
    }

    /// <summary>A new node in the rule of another.</summary>
    public int NodeBeside(int node) => Node(_ruleOf[node]);

    public void Bytes(int from, byte low, byte high, int to) => _edges[from].Add(new ByteEdge(low, high, to));

    public void Byte(int from, char value, int to) => Bytes(from, (byte)value, (byte)value, to);

    public void Move(int from, MoveKind kind, int to) => _moves[from].Add(new GrammarMove(kind, to, -1));

    public void Jump(int from, int to) => Move(from, MoveKind.Jump, to);

    public void Call(int from, int rule, int to) => _moves[from].Add(new GrammarMove(MoveKind.Call, to, rule));

    public void End(int node) => _ends[node] = true;

    /// <summary>Any of several texts, as a tree: what they begin with in common is followed once.</summary>
    public void Literals(int from, int to, IEnumerable<byte[]> texts)
    {
        var children = new Dictionary<(int Node, byte Next), int>();
        foreach (var text in texts)
        {
            var node = from;
            foreach (var value in text)
            {
                if (!children.TryGetValue((node, value), out var next))
                {
                    next = children[(node, value)] = NodeBeside(from);
                    Bytes(node, value, value, next);
                }

                node = next;
            }

            Jump(node, to);
        }
    }

    /// <summary>One text; returns the node behind it.</summary>
    public int Literal(int from, ReadOnlySpan<byte> text)
    {
        foreach (var value in text)
        {
            var next = NodeBeside(from);
            Bytes(from, value, value, next);
            from = next;
        }

        return from;
    }

    public ByteGrammar Build() => new(
        [.. _edges.Select(edges => edges.ToArray())], [.. _moves.Select(moves => moves.ToArray())], [.. _ends], [.. _ruleOf], [.. _rules]);
}
