namespace Distributed.Engine.Constraints;

/// <summary>Writes the characters of JSON strings into a grammar (RFC 8259, section 7), in well-formed UTF-8.</summary>
/// <param name="builder">Takes the nodes.</param>
/// <param name="asciiOnly">The vocabulary cannot write all bytes: other characters are left out.</param>
internal sealed class JsonCharacters(GrammarBuilder builder, bool asciiOnly)
{
    private const string ShortEscapes = "\"\\\b\f\n\r\t", ShortNames = "\"\\bfnrt"; // what is escaped by one letter, and the letter

    private static readonly CodePointSet Plain = CodePointSet.Of((0, 0x1F), ('"', '"'), ('\\', '\\')).Complement();

    /// <summary>One character of a set, written as it is where JSON allows that, otherwise by its shortest escape.</summary>
    public void One(int from, int to, CodePointSet set)
    {
        var behind = new Dictionary<string, int>(); // nodes before the same last bytes are one
        var plain = set.Intersect(asciiOnly ? Plain.Intersect(CodePointSet.Ascii) : Plain);
        foreach (var bytes in plain.Ranges.SelectMany(range => Utf8Ranges.Of(range.First, range.Last)))
        {
            var node = to;
            for (var i = bytes.Length - 1; i > 0; i--)
            {
                var key = string.Join(' ', bytes[i..]);
                if (!behind.TryGetValue(key, out var before))
                {
                    before = behind[key] = builder.NodeBeside(from);
                    builder.Bytes(before, bytes[i].Low, bytes[i].High, node);
                }

                node = before;
            }

            builder.Bytes(from, bytes[0].Low, bytes[0].High, node);
        }

        var escaped = set.Except(Plain);
        if (!escaped.IsEmpty)
        {
            var escape = builder.NodeBeside(from);
            builder.Byte(from, '\\', escape);
            AddEscapes(escape, to, escaped);
        }
    }

    /// <summary>Any character, in every spelling that JSON has for it: <c>\u</c> too, of surrogates in pairs only.</summary>
    public void Any(int from, int to)
    {
        One(from, to, Plain);
        var escape = builder.NodeBeside(from);
        builder.Byte(from, '\\', escape);
        foreach (var letter in "\"\\/bfnrt")
        {
            builder.Byte(escape, letter, to);
        }

        var (high, last3, last2, last1) = (builder.NodeBeside(from), builder.NodeBeside(from), builder.NodeBeside(from), builder.NodeBeside(from));
        builder.Byte(escape, 'u', high);
        Hex(high, 0, 0xC, last3);
        Hex(high, 0xE, 0xF, last3);
        Hex(last3, 0, 0xF, last2);
        Hex(last2, 0, 0xF, last1);
        Hex(last1, 0, 0xF, to);

        var second = builder.NodeBeside(from);
        Hex(high, 0xD, 0xD, second);
        Hex(second, 0, 7, last2);
        var (first2, first1, pair) = (builder.NodeBeside(from), builder.NodeBeside(from), builder.NodeBeside(from));
        Hex(second, 8, 0xB, first2);
        Hex(first2, 0, 0xF, first1);
        Hex(first1, 0, 0xF, pair);
        var low = builder.Literal(pair, "\\u"u8);
        var lowSecond = builder.NodeBeside(from);
        Hex(low, 0xD, 0xD, lowSecond);
        Hex(lowSecond, 0xC, 0xF, last2);
    }

    /// <summary>The inside of a string of a regular language.</summary>
    public void Text(int from, int to, TextAutomaton text)
    {
        var nodes = new int[text.StateCount];
        for (var state = 0; state < nodes.Length; state++)
        {
            nodes[state] = builder.NodeBeside(from);
        }

        for (var state = 0; state < nodes.Length; state++)
        {
            foreach (var (set, target) in text.Steps(state))
            {
                One(nodes[state], nodes[target], set);
            }

            foreach (var target in text.Jumps(state))
            {
                builder.Jump(nodes[state], nodes[target]);
            }
        }

        builder.Jump(from, nodes[0]);
        builder.Jump(nodes[text.End], to);
    }

    private void AddEscapes(int escape, int to, CodePointSet escaped)
    {
        var others = Enumerable.Range(0, 0x20).Where(value => escaped.Contains(value) && !ShortEscapes.Contains((char)value)).ToList();
        for (var i = 0; i < ShortEscapes.Length; i++)
        {
            if (escaped.Contains(ShortEscapes[i]))
            {
                builder.Byte(escape, ShortNames[i], to);
            }
        }

        foreach (var sixteens in others.GroupBy(value => value / 16))
        {
            var last = builder.NodeBeside(escape);
            var before = builder.Literal(escape, "u00"u8);
            builder.Byte(before, (char)('0' + sixteens.Key), last);
            foreach (var value in sixteens)
            {
                Hex(last, value % 16, value % 16, to);
            }
        }
    }

    // Digits from low to high, letters in both cases.
    private void Hex(int from, int low, int high, int to)
    {
        if (low < 10)
        {
            builder.Bytes(from, (byte)('0' + low), (byte)('0' + Math.Min(high, 9)), to);
        }

        if (high >= 10)
        {
            var (first, last) = (Math.Max(low, 10) - 10, high - 10);
            builder.Bytes(from, (byte)('a' + first), (byte)('a' + last), to);
            builder.Bytes(from, (byte)('A' + first), (byte)('A' + last), to);
        }
    }
}
