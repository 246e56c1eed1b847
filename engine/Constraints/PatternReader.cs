using System.Globalization;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Constraints;

/// <summary>
/// Reads the part of ECMA-262's regular expressions that is regular: characters, classes, groups, alternatives, repetitions, and anchors at both
/// ends. What is beyond it is refused by name.
/// </summary>
internal sealed class PatternReader
{
    private const int MaxLength = 1_000, MaxRepeat = 1_000, MaxNesting = 32;

    private static readonly CodePointSet Digits = CodePointSet.Of(('0', '9'));
    private static readonly CodePointSet Word = CodePointSet.Of(('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_'));
    private static readonly CodePointSet LineEnds = CodePointSet.OfCharacters("\n\r\u2028\u2029");
    private static readonly CodePointSet Spaces
        = CodePointSet.OfCharacters("\t\n\v\f\r \u00A0\u1680\u2028\u2029\u202F\u205F\u3000\uFEFF").Union(CodePointSet.Of((0x2000, 0x200A)));

    private readonly string _text;
    private readonly string _path;
    private int _at;
    private int _nesting;

    private PatternReader(string text, string path) => (_text, _path) = (text, path);

    /// <summary>The texts that a pattern is found in: without anchors anything may be around it.</summary>
    /// <param name="text">The pattern.</param>
    /// <param name="path">Where it stands in the schema, for the error.</param>
    /// <exception cref="SchemaException">It is damaged, or not regular.</exception>
    public static PatternNode Read(string text, string path)
    {
        var reader = new PatternReader(text, path);
        if (text.Length > MaxLength)
        {
            throw reader.Error($"is longer than {MaxLength} characters");
        }

        var branches = new List<PatternNode>();
        do
        {
            var isFirst = reader.TryTake('^');
            var items = reader.ReadSequence(isOutermost: true, out var isLast);
            branches.Add(new PatternNode.Sequence(
                [.. isFirst ? [] : new[] { PatternNode.Anything }, .. items, .. isLast ? [] : new[] { PatternNode.Anything }]));
        }
        while (reader.TryTake('|'));

        return reader._at == text.Length ? new PatternNode.Choice(branches) : throw reader.Error("has a ')' too many");
    }

    private List<PatternNode> ReadSequence(bool isOutermost, out bool hasEnd)
    {
        var items = new List<PatternNode>();
        hasEnd = false;
        while (_at < _text.Length && _text[_at] is not ('|' or ')'))
        {
            if (TryTake('$'))
            {
                hasEnd = isOutermost && (_at == _text.Length || _text[_at] == '|') ? true : throw Error("has '$' elsewhere than at its end");
                return items;
            }

            items.Add(ReadRepeat(ReadOne()));
        }

        return items;
    }

    private PatternNode ReadOne()
    {
        var character = Take();
        switch (character)
        {
            case '(':
                return ReadGroup();
            case '[':
                return new PatternNode.One(ReadClass());
            case '.':
                return new PatternNode.One(LineEnds.Complement());
            case '\\':
                return new PatternNode.One(ReadEscape(inClass: false));
            case '^':
                throw Error("has '^' elsewhere than at its start");
            case '*' or '+' or '?' or '{' or '}' or ']':
                throw Error($"has '{(char)character}' with nothing before it; write \\{(char)character} for the character");
            default:
                return new PatternNode.One(CodePointSet.Of((character, character)));
        }
    }

    private PatternNode.Choice ReadGroup()
    {
        if (++_nesting > MaxNesting)
        {
            throw Error($"has more than {MaxNesting} groups in each other");
        }

        if (TryTake('?') && !TryTake(':'))
        {
            throw Error("has a group '(?…' that looks around or has a name, which cannot be enforced");
        }

        var branches = new List<PatternNode>();
        do
        {
            branches.Add(new PatternNode.Sequence(ReadSequence(isOutermost: false, out _)));
        }
        while (TryTake('|'));

        _nesting--;
        return TryTake(')') ? new PatternNode.Choice(branches) : throw Error("lacks a ')'");
    }

    private PatternNode ReadRepeat(PatternNode item)
    {
        (int Least, int? Most)? bounds = TryTake('*') ? (0, null) : TryTake('+') ? (1, null) : TryTake('?') ? (0, 1) : TryTake('{') ? ReadBounds() : null;
        if (bounds is null)
        {
            return item;
        }

        TryTake('?'); // lazy: another way to the same texts
        return _at < _text.Length && _text[_at] is '*' or '+' or '?' or '{'
            ? throw Error("repeats a repetition; put a group around it")
            : new PatternNode.Repeat(item, bounds.Value.Least, bounds.Value.Most);
    }

    private (int Least, int? Most) ReadBounds()
    {
        var least = ReadNumber();
        int? most = !TryTake(',') ? least : _at < _text.Length && _text[_at] == '}' ? null : ReadNumber();
        return TryTake('}') && !(most < least) ? (least, most) : throw Error("has a repetition that is not {m}, {m,} or {m,n} with m up to n");
    }

    private int ReadNumber()
    {
        var start = _at;
        while (_at < _text.Length && char.IsAsciiDigit(_text[_at]))
        {
            _at++;
        }

        return int.TryParse(_text.AsSpan(start, _at - start), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= MaxRepeat
            ? number
            : throw Error($"has a repetition that is no number up to {MaxRepeat}");
    }

    private CodePointSet ReadClass()
    {
        var isNegated = TryTake('^');
        var set = CodePointSet.Of();
        while (!TryTake(']'))
        {
            var first = ReadClassItem();
            if (_at + 1 < _text.Length && _text[_at] == '-' && _text[_at + 1] != ']')
            {
                _at++;
                var (low, high) = (Single(first), Single(ReadClassItem()));
                first = low <= high ? CodePointSet.Of((low, high)) : throw Error("has a class with a range from high to low");
            }

            set = set.Union(first);
        }

        return isNegated ? set.Complement() : set;
    }

    private CodePointSet ReadClassItem()
    {
        var character = Take();
        return character == '\\' ? ReadEscape(inClass: true) : CodePointSet.Of((character, character));
    }

    private int Single(CodePointSet set) => set.Ranges is [var (first, last)] && first == last ? first : throw Error("has a class with a range that ends in a class");

    private CodePointSet ReadEscape(bool inClass)
    {
        var character = Take();
        return character switch
        {
            'd' => Digits,
            'D' => Digits.Complement(),
            'w' => Word,
            'W' => Word.Complement(),
            's' => Spaces,
            'S' => Spaces.Complement(),
            't' => CodePointSet.OfCharacters("\t"),
            'n' => CodePointSet.OfCharacters("\n"),
            'r' => CodePointSet.OfCharacters("\r"),
            'f' => CodePointSet.OfCharacters("\f"),
            'v' => CodePointSet.OfCharacters("\v"),
            'b' when inClass => CodePointSet.OfCharacters("\b"),
            '0' when _at == _text.Length || !char.IsAsciiDigit(_text[_at]) => CodePointSet.OfCharacters("\0"),
            'x' => ReadHex(2),
            'u' => ReadUnicode(),
            >= 128 or (>= '0' and <= '9') or (>= 'A' and <= 'Z') or (>= 'a' and <= 'z')
                => throw Error($"has '\\{char.ConvertFromUtf32(character)}', which cannot be enforced"),
            _ => CodePointSet.Of((character, character)),
        };
    }

    private CodePointSet ReadUnicode()
    {
        if (TryTake('{'))
        {
            var end = _text.IndexOf('}', _at);
            var set = end > _at ? ReadHex(end - _at) : throw Error("has '\\u{' without '}'");
            _at++;
            return set;
        }

        return ReadHex(4);
    }

    private CodePointSet ReadHex(int length)
    {
        if (_at + length > _text.Length || length > 6
            || !int.TryParse(_text.AsSpan(_at, length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
            || value is > 0x10FFFF or (>= 0xD800 and <= 0xDFFF))
        {
            throw Error("has a \\x or \\u that is no character; write characters beyond U+FFFF as they are");
        }

        _at += length;
        return CodePointSet.Of((value, value));
    }

    private bool TryTake(char character)
    {
        var isThere = _at < _text.Length && _text[_at] == character;
        _at += isThere ? 1 : 0;
        return isThere;
    }

    private int Take()
    {
        if (_at >= _text.Length)
        {
            throw Error("ends too early");
        }

        var character = char.IsSurrogate(_text[_at]) && !(_at + 1 < _text.Length && char.IsSurrogatePair(_text, _at))
            ? throw Error("has half of a surrogate pair")
            : char.ConvertToUtf32(_text, _at);
        _at += character > 0xFFFF ? 2 : 1;
        return character;
    }

    private SchemaException Error(string problem) => new($"The pattern at {Printable.Of(_path, SchemaNode.MaxShownPath)} {Printable.Of(problem, int.MaxValue)}.");
}
