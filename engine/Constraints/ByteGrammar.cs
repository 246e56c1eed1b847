namespace Distributed.Engine.Constraints;

/// <summary>How one gets from a node to another without a byte.</summary>
internal enum MoveKind : byte
{
    /// <summary>Always.</summary>
    Jump,

    /// <summary>While the frame's counter is below the rule's <see cref="GrammarRule.Most"/>, and counts one more.</summary>
    Count,

    /// <summary>Once the frame's counter is at the rule's <see cref="GrammarRule.Least"/>.</summary>
    Enough,

    /// <summary>By way of a rule, in a frame of its own.</summary>
    Call,
}

/// <summary>A byte from <paramref name="Low"/> to <paramref name="High"/> leads to node <paramref name="Target"/>.</summary>
internal readonly record struct ByteEdge(byte Low, byte High, int Target);

/// <summary>A way to <paramref name="Target"/> without a byte; <paramref name="Rule"/> is what a call calls.</summary>
internal readonly record struct GrammarMove(MoveKind Kind, int Target, int Rule);

/// <summary>A part of the language that others call.</summary>
/// <param name="Start">Its first node.</param>
/// <param name="IsContainer">It is an object or an array: its frames count for the depth.</param>
/// <param name="Least">What <see cref="MoveKind.Enough"/> asks of the frame's counter.</param>
/// <param name="Most">What <see cref="MoveKind.Count"/> allows of it, at least <paramref name="Least"/>.</param>
internal readonly record struct GrammarRule(int Start, bool IsContainer, int Least, int Most);

/// <summary>
/// A language over bytes, as rules that call each other: nodes with byte edges and moves, a recursive transition network whose frames have one
/// counter each. What can never be completed is not entered, so whoever follows it never stands before nothing. Immutable.
/// </summary>
internal sealed class ByteGrammar
{
    /// <summary>Stands for a node from which its rule cannot be completed.</summary>
    public const int Never = int.MaxValue / 4;

    public ByteGrammar(ByteEdge[][] edges, GrammarMove[][] moves, bool[] ends, int[] ruleOf, GrammarRule[] rules)
    {
        (Edges, Moves, Ends, RuleOf, Rules) = (edges, moves, ends, ruleOf, rules);
        Needs = FindNeeds();
        (ByteClasses, ByteClassCount) = FindByteClasses();
    }

    /// <summary>[node][edge]</summary>
    public ByteEdge[][] Edges { get; }

    /// <summary>[node][move], in the order of the schema.</summary>
    public GrammarMove[][] Moves { get; }

    /// <summary>[node] Whether its rule may end there.</summary>
    public bool[] Ends { get; }

    /// <summary>[node]</summary>
    public int[] RuleOf { get; }

    /// <summary>The first is the whole language.</summary>
    public GrammarRule[] Rules { get; }

    /// <summary>[node] How many containers deeper one must go to complete the rule from there, at the least; <see cref="Never"/> where one cannot.</summary>
    public int[] Needs { get; }

    /// <summary>[byte] Bytes of one class are alike for every edge.</summary>
    public byte[] ByteClasses { get; }

    public int ByteClassCount { get; }

    /// <summary>1 for a node of a container, otherwise 0.</summary>
    public int Cost(int node) => Rules[RuleOf[node]].IsContainer ? 1 : 0;

    // The least fixed point, by a queue of the nodes whose successors got better.
    private int[] FindNeeds()
    {
        var needs = new int[Edges.Length];
        var predecessors = new List<int>[Edges.Length];
        var queue = new Queue<int>();
        for (var node = 0; node < needs.Length; node++)
        {
            (needs[node], predecessors[node]) = (Never, []);
        }

        for (var node = 0; node < needs.Length; node++)
        {
            queue.Enqueue(node);
            foreach (var edge in Edges[node])
            {
                predecessors[edge.Target].Add(node);
            }

            foreach (var move in Moves[node])
            {
                predecessors[move.Target].Add(node);
                if (move.Kind == MoveKind.Call)
                {
                    predecessors[Rules[move.Rule].Start].Add(node);
                }
            }
        }

        while (queue.TryDequeue(out var node))
        {
            var need = Ends[node] ? 0 : Never;
            foreach (var edge in Edges[node])
            {
                need = Math.Min(need, needs[edge.Target]);
            }

            foreach (var move in Moves[node])
            {
                var start = move.Kind == MoveKind.Call ? Rules[move.Rule].Start : -1;
                var inside = start < 0 ? 0 : Math.Min(Never, needs[start] + Cost(start));
                need = Math.Min(need, Math.Max(inside, needs[move.Target]));
            }

            if (need < needs[node])
            {
                needs[node] = need;
                predecessors[node].ForEach(queue.Enqueue);
            }
        }

        return needs;
    }

    private (byte[] Classes, int Count) FindByteClasses()
    {
        var begins = new bool[257];
        foreach (var edge in Edges.SelectMany(edges => edges))
        {
            begins[edge.Low] = begins[edge.High + 1] = true;
        }

        var classes = new byte[256];
        for (var value = 1; value < 256; value++)
        {
            classes[value] = (byte)(classes[value - 1] + (begins[value] ? 1 : 0));
        }

        return (classes, classes[255] + 1);
    }
}
