using System.Collections.Immutable;
using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Constraints;

/// <summary>Makes the grammar of a JSON schema: a rule for each schema in it, made once however often it is referred to.</summary>
internal sealed class SchemaCompiler
{
    private readonly SchemaResolver _resolver;
    private readonly GrammarBuilder _builder = new();
    private readonly JsonRules _rules;
    private readonly Dictionary<string, int> _known = new(StringComparer.Ordinal);
    private readonly Queue<(IReadOnlyList<SchemaNode> Schemas, int Rule)> _pending = new(); // not recursion: schemas may be deep
    private readonly Dictionary<int, List<(int Rule, string Path)>> _references = []; // what a rule may be instead of a value of its own

    private SchemaCompiler(JsonElement root, bool asciiOnly)
    {
        _resolver = new SchemaResolver(root);
        var text = _builder.Rule();
        _rules = new JsonRules(_builder, asciiOnly);
        Begin(text, end => _builder.Call(end.From, RuleOf([new SchemaNode(root, "#")]), end.To));
        while (_pending.TryDequeue(out var next))
        {
            Add(next.Schemas, next.Rule);
        }

        RequireNoCircles();
    }

    /// <summary>The grammar of the texts that satisfy a schema.</summary>
    /// <exception cref="SchemaException">It is damaged, too large, cannot be enforced, or nothing satisfies it.</exception>
    public static ByteGrammar Compile(JsonElement schema, bool asciiOnly) => Check(new SchemaCompiler(schema, asciiOnly)._builder.Build());

    /// <summary>The grammar of any JSON object.</summary>
    public static ByteGrammar CompileAnyObject(bool asciiOnly)
    {
        using var schema = JsonDocument.Parse("""{"type":"object"}""");
        return Compile(schema.RootElement, asciiOnly);
    }

    /// <summary>The type of a value; of a number without a fraction, the integer.</summary>
    public static JsonTypes TypesOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => JsonTypes.Object,
        JsonValueKind.Array => JsonTypes.Array,
        JsonValueKind.String => JsonTypes.String,
        JsonValueKind.Number => value.TryGetDouble(out var number) && number == Math.Floor(number) ? JsonTypes.Integer : JsonTypes.Number,
        JsonValueKind.True or JsonValueKind.False => JsonTypes.Boolean,
        _ => JsonTypes.Null,
    };

    private static ByteGrammar Check(ByteGrammar grammar)
        => grammar.Needs[grammar.Rules[0].Start] <= ConfigurationTable.MaxDepth
            ? grammar
            : throw new SchemaException($"The schema cannot be satisfied by any value of at most {ConfigurationTable.MaxDepth} levels; look for a part that needs itself, or that contradicts itself.");

    // The whole text: one space may come before it, as pieces of some vocabularies begin with one.
    private void Begin(int text, Action<(int From, int To)> add)
    {
        var (start, value, end) = (_builder.Start(text), _builder.Node(text), _builder.Node(text));
        _builder.Jump(start, value);
        _builder.Byte(start, ' ', value);
        _builder.End(end);
        add((value, end));
    }

    private int RuleOf(IReadOnlyList<SchemaNode> schemas)
    {
        var key = string.Join('\n', schemas.Select(schema => schema.Path));
        if (!_known.TryGetValue(key, out var rule))
        {
            rule = _known[key] = _builder.Rule();
            _pending.Enqueue((schemas, rule));
        }

        return rule;
    }

    private void Add(IReadOnlyList<SchemaNode> schemas, int rule)
    {
        var (start, end) = (_builder.Start(rule), _builder.Node(rule));
        _builder.End(end);
        foreach (var branch in _resolver.Branches(schemas))
        {
            if (branch is SchemaBranch.Reference reference)
            {
                var target = RuleOf([reference.Target]);
                (_references.TryGetValue(rule, out var references) ? references : _references[rule] = []).Add((target, schemas[0].Path));
                _builder.Call(start, target, end);
            }
            else
            {
                AddKeywords(start, end, ((SchemaBranch.Holding)branch).Keywords);
            }
        }
    }

    private void AddKeywords(int from, int to, SchemaKeywords keywords)
    {
        if (keywords.IsAnything)
        {
            _builder.Call(from, _rules.Value, to);
            return;
        }

        if (keywords.Values is not null)
        {
            if (keywords.Meant != JsonTypes.None)
            {
                throw keywords.Error("combines 'enum' or 'const' with keywords other than 'type'; leave out the values that these forbid, and the keywords");
            }

            _builder.Literals(from, to, keywords.Values.Where(value => (TypesOf(value) & keywords.Types) != 0).Select(Written));
            return;
        }

        var types = keywords.EffectiveTypes;
        if (types.HasFlag(JsonTypes.Object))
        {
            _builder.Call(from, ObjectRule(keywords), to);
        }

        if (types.HasFlag(JsonTypes.Array))
        {
            _builder.Call(from, ArrayRule(keywords), to);
        }

        if (types.HasFlag(JsonTypes.String))
        {
            _builder.Call(from, StringRule(keywords), to);
        }

        if ((types & (JsonTypes.Number | JsonTypes.Integer)) != 0)
        {
            _builder.Call(from, NumberRule(keywords, integers: !types.HasFlag(JsonTypes.Number)), to);
        }

        IEnumerable<byte[]> words = [.. types.HasFlag(JsonTypes.Boolean) ? new[] { "true"u8.ToArray(), "false"u8.ToArray() } : [], .. types.HasFlag(JsonTypes.Null) ? new[] { "null"u8.ToArray() } : []];
        _builder.Literals(from, to, words);
    }

    // Properties in the order of the schema, as OpenAI's strict mode has them; what is required but not described comes behind them.
    private int ObjectRule(SchemaKeywords keywords)
    {
        var isFree = keywords.AdditionalProperties is { Element.ValueKind: not JsonValueKind.False } || (keywords.AdditionalProperties is null && keywords.Properties.IsEmpty);
        if (keywords.Properties.IsEmpty && keywords.Required.IsEmpty && isFree && keywords.AdditionalProperties is null)
        {
            return _rules.Object;
        }

        var undescribed = keywords.Required.Except(keywords.Properties.Select(property => property.Name)).ToList();
        if (undescribed.Count > 0 && keywords.AdditionalProperties is { Element.ValueKind: JsonValueKind.False })
        {
            throw keywords.Error($"requires a property that 'properties' does not have and 'additionalProperties' forbids");
        }

        int? additional = keywords.AdditionalProperties is { } schema ? RuleOf([schema]) : null;
        var required = keywords.Required.ToHashSet(StringComparer.Ordinal);
        List<(string Name, int Rule)> properties =
        [
            .. keywords.Properties.Select(property => (property.Name, RuleOf(property.Schemas))),
            .. undescribed.Select(name => (name, additional ?? _rules.Value)),
        ];

        var rule = _builder.Rule(isContainer: true);
        var first = _rules.Punctuation(_builder.Start(rule), '{');
        var close = _builder.Node(rule);
        _rules.Close(close, '}');

        // keys[i]: one of the properties from the i-th on, up to the first that is required, comes next.
        var keys = Enumerable.Range(0, properties.Count + 1).Select(_ => _builder.Node(rule)).ToArray();
        var lastRequired = properties.FindLastIndex(property => required.Contains(property.Name));
        _builder.Jump(first, keys[0]);
        if (lastRequired < 0)
        {
            var end = _builder.Node(rule);
            _builder.Byte(first, '}', end);
            _builder.End(end);
        }

        for (var i = 0; i < properties.Count; i++)
        {
            var (name, value) = properties[i];
            var behind = _builder.Node(rule);
            _builder.Call(_rules.Punctuation(_builder.Literal(keys[i], _rules.Quote(name)), ':'), value, behind);
            _builder.Jump(_rules.Punctuation(behind, ','), keys[i + 1]);
            if (i >= lastRequired)
            {
                _builder.Jump(behind, close);
            }

            if (!required.Contains(name))
            {
                _builder.Jump(keys[i], keys[i + 1]);
            }
        }

        if (isFree)
        {
            AddFreeProperties(keys[^1], close, properties.Select(property => property.Name), additional ?? _rules.Value);
        }

        return rule;
    }

    private void AddFreeProperties(int from, int close, IEnumerable<string> except, int value)
    {
        var (colon, behind) = (_builder.NodeBeside(from), _builder.NodeBeside(from));
        if (except.Any())
        {
            var (open, quote) = (_builder.NodeBeside(from), _builder.NodeBeside(from));
            _builder.Byte(from, '"', open);
            _rules.Characters.Text(open, quote, TextAutomaton.Except(except));
            _builder.Byte(quote, '"', colon);
        }
        else
        {
            _builder.Call(from, _rules.String, colon);
        }

        _builder.Call(_rules.Punctuation(colon, ':'), value, behind);
        _builder.Jump(_rules.Punctuation(behind, ','), from);
        _builder.Jump(behind, close);
    }

    private int ArrayRule(SchemaKeywords keywords)
    {
        var most = keywords.MaxItems ?? int.MaxValue;
        var rest = keywords.Items.IsEmpty ? _rules.Value : RuleOf(keywords.Items);
        var items = keywords.PrefixItems.Take(most).Select(schema => RuleOf([schema])).ToList();
        if (items.Count < keywords.MinItems || (items.Count == 0 && most > 0))
        {
            items.Add(rest); // the first of the rest stands by itself: only a list that needs it must have room for it
        }

        var rule = _builder.Rule(isContainer: true, least: Math.Max(0, keywords.MinItems - items.Count), most: most == int.MaxValue ? most : most - items.Count);
        var first = _rules.Punctuation(_builder.Start(rule), '[');
        var close = _builder.Node(rule);
        _rules.Close(close, ']');
        if (keywords.MinItems == 0)
        {
            var end = _builder.Node(rule);
            _builder.Byte(first, ']', end);
            _builder.End(end);
        }

        var before = first;
        for (var i = 0; i < items.Count; i++)
        {
            var behind = _builder.Node(rule);
            _builder.Call(before, items[i], behind);
            if (i + 1 == items.Count)
            {
                var (one, more) = (_builder.Node(rule), _builder.Node(rule));
                _builder.Move(behind, MoveKind.Enough, close);
                _builder.Move(behind, MoveKind.Count, one);
                _builder.Jump(_rules.Punctuation(one, ','), more);
                _builder.Call(more, rest, behind);
            }
            else
            {
                if (i + 1 >= keywords.MinItems)
                {
                    _builder.Jump(behind, close);
                }

                before = _rules.Punctuation(behind, ',');
            }
        }

        return rule;
    }

    private int StringRule(SchemaKeywords keywords)
    {
        if (keywords.Patterns.IsEmpty)
        {
            return keywords is { MinLength: 0, MaxLength: null } ? _rules.String : _rules.MakeString(keywords.MinLength, keywords.MaxLength);
        }

        var text = keywords.Patterns.Select(pattern => TextAutomaton.Of(pattern).Determinize()).Aggregate((left, right) => left.Intersect(right));
        if (keywords is not { MinLength: 0, MaxLength: null })
        {
            text = text.Intersect(TextAutomaton.OfLength(keywords.MinLength, keywords.MaxLength));
        }

        var rule = _builder.Rule();
        var end = _builder.Node(rule);
        _rules.Characters.Text(_builder.Literal(_builder.Start(rule), "\""u8), end, text);
        _builder.End(_builder.Literal(end, "\""u8));
        return rule;
    }

    private int NumberRule(SchemaKeywords keywords, bool integers)
    {
        if (keywords.Low is null && keywords.High is null)
        {
            return integers ? _rules.Integer : _rules.Number;
        }

        var rule = _builder.Rule();
        var end = _builder.Node(rule);
        _builder.End(end);
        NumberRange.Add(_builder, _builder.Start(rule), end, keywords.Low, keywords.High, integers);
        return rule;
    }

    private byte[] Written(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => _rules.Quote(value.GetString()!), // not null: a string
        JsonValueKind.Array => [.. "["u8, .. Joined(value.EnumerateArray().Select(Written)), .. "]"u8],
        JsonValueKind.Object =>
        [
            .. "{"u8,
            .. Joined(value.EnumerateObject().Select(property => (byte[])[.. _rules.Quote(property.Name), .. ":"u8, .. Written(property.Value)])),
            .. "}"u8,
        ],
        _ => Encoding.UTF8.GetBytes(value.GetRawText()),
    };

    private static IEnumerable<byte> Joined(IEnumerable<byte[]> parts) => parts.SelectMany((part, i) => i == 0 ? part : [.. ","u8, .. part]);

    // A schema that refers to itself in its own place says nothing, and would be followed forever.
    private void RequireNoCircles()
    {
        var done = new HashSet<int>();
        foreach (var start in _references.Keys)
        {
            var open = new HashSet<int>();
            var pending = new Stack<(int Rule, string Path, bool IsBehind)>([(start, "#", false)]);
            while (pending.TryPop(out var next))
            {
                if (next.IsBehind)
                {
                    open.Remove(next.Rule);
                    done.Add(next.Rule);
                }
                else if (!open.Add(next.Rule))
                {
                    throw new SchemaNode(default, next.Path).Error("refers to itself without a value between");
                }
                else if (done.Contains(next.Rule))
                {
                    open.Remove(next.Rule);
                }
                else
                {
                    pending.Push(next with { IsBehind = true });
                    foreach (var (rule, path) in _references.GetValueOrDefault(next.Rule) ?? [])
                    {
                        pending.Push((rule, path, false));
                    }
                }
            }
        }
    }
}
