namespace Distributed.Engine.Constraints;

/// <summary>A regular language over characters, as a nondeterministic automaton with one start (state 0) and one end.</summary>
internal sealed class TextAutomaton
{
    /// <summary>The most states; a product of two may have no more.</summary>
    public const int MaxStateCount = 20_000;

    private const long MaxWork = 500_000; // of the subset construction

    private readonly List<List<(CodePointSet Set, int Target)>> _steps = [];
    private readonly List<List<int>> _jumps = [];

    private TextAutomaton() => State();

    public int StateCount => _steps.Count;

    /// <summary>The state in which a text is complete.</summary>
    public int End { get; private set; }

    /// <summary>The language of a regular expression, from its first character to its last (Thompson's construction).</summary>
    /// <exception cref="SchemaException">It has too many states.</exception>
    public static TextAutomaton Of(PatternNode pattern)
    {
        var automaton = new TextAutomaton();
        automaton.End = automaton.Add(pattern, 0);
        return automaton;
    }

    /// <summary>The texts of so many characters.</summary>
    /// <param name="least">At least.</param>
    /// <param name="most">At most; <see langword="null"/> for no bound.</param>
    public static TextAutomaton OfLength(int least, int? most) => Of(new PatternNode.Repeat(new PatternNode.One(CodePointSet.All), least, most));

    /// <summary>Every text but these.</summary>
    public static TextAutomaton Except(IEnumerable<string> words)
    {
        var automaton = new TextAutomaton();
        var free = automaton.State();
        automaton.End = automaton.State();
        automaton._steps[free].Add((CodePointSet.All, free));
        automaton._jumps[free].Add(automaton.End);
        var children = new Dictionary<int, SortedDictionary<int, int>> { [0] = [] };
        var excepted = new HashSet<int>();
        foreach (var word in words)
        {
            var state = 0;
            foreach (var rune in word.EnumerateRunes())
            {
                if (!children[state].TryGetValue(rune.Value, out var next))
                {
                    next = children[state][rune.Value] = automaton.State();
                    children[next] = [];
                }

                state = next;
            }

            excepted.Add(state);
        }

        foreach (var (state, next) in children)
        {
            foreach (var (character, target) in next)
            {
                automaton._steps[state].Add((CodePointSet.Of((character, character)), target));
            }

            automaton._steps[state].Add((CodePointSet.Of(next.Keys.Select(key => (key, key))).Complement(), free));
            if (!excepted.Contains(state))
            {
                automaton._jumps[state].Add(automaton.End);
            }
        }

        return automaton;
    }

    /// <summary>One character on from a state.</summary>
    public IReadOnlyList<(CodePointSet Set, int Target)> Steps(int state) => _steps[state];

    /// <summary>No character on from a state.</summary>
    public IReadOnlyList<int> Jumps(int state) => _jumps[state];

    /// <summary>
    /// The same language with at most one state at a time (the subset construction), so that whoever follows it has little to do whatever the pattern.
    /// </summary>
    /// <exception cref="SchemaException">It has too many states.</exception>
    public TextAutomaton Determinize()
    {
        var result = new TextAutomaton();
        result.End = result.State();
        var states = new Dictionary<string, int>(StringComparer.Ordinal);
        var pending = new Queue<(int State, List<int> Members)>();
        var work = 0L;
        Reach([0], known: 0);
        while (pending.TryDequeue(out var next))
        {
            if (next.Members.Contains(End))
            {
                result._jumps[next.State].Add(result.End);
            }

            // Between two borders all characters lead to the same states.
            var steps = next.Members.SelectMany(member => _steps[member]).SelectMany(step => step.Set.Ranges.Select(range => (range.First, range.Last, step.Target))).ToList();
            var borders = steps.SelectMany(step => new[] { step.First, step.Last + 1 }).Distinct().Order().ToArray();
            work += next.Members.Count + ((long)steps.Count * borders.Length);
            if (work > MaxWork)
            {
                throw new SchemaException("A pattern has too many ways to match the same text; make it simpler.");
            }

            var ranges = new Dictionary<int, List<(int First, int Last)>>();
            for (var i = 0; i + 1 < borders.Length; i++)
            {
                int[] targets = [.. steps.Where(step => step.First <= borders[i] && borders[i] <= step.Last).Select(step => step.Target)];
                if (targets.Length > 0)
                {
                    var target = Reach(targets, known: null);
                    (ranges.TryGetValue(target, out var already) ? already : ranges[target] = []).Add((borders[i], borders[i + 1] - 1));
                }
            }

            result._steps[next.State].AddRange(ranges.Select(entry => (CodePointSet.Of(entry.Value), entry.Key)));
        }

        return result;

        int Reach(IEnumerable<int> members, int? known)
        {
            var all = Closure(members);
            work += all.Count;
            var key = string.Join(',', all);
            if (!states.TryGetValue(key, out var state))
            {
                state = states[key] = known ?? result.State();
                pending.Enqueue((state, all));
            }

            return state;
        }
    }

    /// <summary>The texts of both.</summary>
    /// <exception cref="SchemaException">It has too many states.</exception>
    public TextAutomaton Intersect(TextAutomaton other)
    {
        var product = new TextAutomaton();
        var states = new Dictionary<(int Left, int Right), int> { [(0, 0)] = 0 };
        var pending = new Queue<(int Left, int Right)>([(0, 0)]);
        while (pending.TryDequeue(out var pair))
        {
            var state = states[pair];
            foreach (var target in _jumps[pair.Left])
            {
                product._jumps[state].Add(Reach((target, pair.Right)));
            }

            foreach (var target in other._jumps[pair.Right])
            {
                product._jumps[state].Add(Reach((pair.Left, target)));
            }

            foreach (var left in _steps[pair.Left])
            {
                foreach (var right in other._steps[pair.Right])
                {
                    var common = left.Set.Intersect(right.Set);
                    if (!common.IsEmpty)
                    {
                        product._steps[state].Add((common, Reach((left.Target, right.Target))));
                    }
                }
            }
        }

        product.End = states.TryGetValue((End, other.End), out var end) ? end : product.State();
        return product;

        int Reach((int Left, int Right) pair)
        {
            if (!states.TryGetValue(pair, out var state))
            {
                state = states[pair] = product.State();
                pending.Enqueue(pair);
            }

            return state;
        }
    }

    // The states that are reached from others without a character, in ascending order.
    private List<int> Closure(IEnumerable<int> states)
    {
        var reached = new SortedSet<int>();
        var pending = new Stack<int>(states);
        while (pending.TryPop(out var state))
        {
            if (reached.Add(state))
            {
                foreach (var target in _jumps[state])
                {
                    pending.Push(target);
                }
            }
        }

        return [.. reached];
    }

    // Adds a part that begins in a state; returns the state behind it.
    private int Add(PatternNode pattern, int from)
    {
        switch (pattern)
        {
            case PatternNode.One one:
                var behind = State();
                _steps[from].Add((one.Set, behind));
                return behind;
            case PatternNode.Sequence sequence:
                return sequence.Items.Aggregate(from, (state, item) => Add(item, state));
            case PatternNode.Choice choice:
                var end = State();
                foreach (var item in choice.Items)
                {
                    var begin = State();
                    _jumps[from].Add(begin);
                    _jumps[Add(item, begin)].Add(end);
                }

                return end;
            case PatternNode.Repeat repeat:
                return AddRepeat(repeat, from);
            default:
                throw new ArgumentException("Not a pattern.", nameof(pattern));
        }
    }

    private int AddRepeat(PatternNode.Repeat repeat, int from)
    {
        for (var i = 0; i < repeat.Least; i++)
        {
            from = Add(repeat.Item, from);
        }

        var end = State();
        if (repeat.Most is null)
        {
            var loop = State();
            _jumps[from].Add(loop);
            _jumps[Add(repeat.Item, loop)].Add(loop);
            _jumps[loop].Add(end);
            return end;
        }

        for (var i = repeat.Least; i < repeat.Most; i++)
        {
            _jumps[from].Add(end);
            from = Add(repeat.Item, from);
        }

        _jumps[from].Add(end);
        return end;
    }

    private int State()
    {
        if (_steps.Count >= MaxStateCount)
        {
            throw new SchemaException($"A pattern needs more than {MaxStateCount} states; shorten it or its repetitions.");
        }

        _steps.Add([]);
        _jumps.Add([]);
        return _steps.Count - 1;
    }
}
