using System.Text;

namespace Distributed.Engine.Constraints;

/// <summary>The rules that JSON's values have in common, made when they are first called.</summary>
/// <remarks>
/// White space is bounded, so that no answer runs forever in it: nothing, one space, or a line end and up to twenty spaces and tabs, behind
/// <c>{ [ , :</c> and before <c>} ]</c> (llama.cpp's form). Repeated names in an object without a schema are not kept out.
/// </remarks>
internal sealed class JsonRules
{
    private const int MaxIndent = 20;

    private int? _space, _string, _number, _integer, _value, _object, _array;

    /// <param name="builder">Takes the rules; its first one is the whole text and has to be there.</param>
    /// <param name="asciiOnly">The vocabulary cannot write all bytes.</param>
    public JsonRules(GrammarBuilder builder, bool asciiOnly)
        => (Builder, Characters, AsciiOnly) = (builder, new JsonCharacters(builder, asciiOnly), asciiOnly);

    public GrammarBuilder Builder { get; }

    public JsonCharacters Characters { get; }

    public bool AsciiOnly { get; }

    public int Space => _space ??= MakeSpace();

    public int String => _string ??= MakeString(0, null);

    public int Number => _number ??= MakeNumber(integers: false);

    public int Integer => _integer ??= MakeNumber(integers: true);

    /// <summary>Any value.</summary>
    public int Value => _value ?? MakeValue();

    /// <summary>Any object.</summary>
    public int Object => _object ?? MakeObject();

    /// <summary>Any array.</summary>
    public int Array => _array ?? MakeArray();

    /// <summary>Strings of so many characters.</summary>
    public int MakeString(int least, int? most)
    {
        var rule = Builder.Rule(least: least, most: most ?? int.MaxValue);
        var inside = Builder.Literal(Builder.Start(rule), "\""u8);
        var isBounded = least > 0 || most is not null;
        var next = isBounded ? Builder.Node(rule) : inside;
        if (isBounded)
        {
            Builder.Move(inside, MoveKind.Count, next);
        }

        Characters.Any(next, inside);
        var close = isBounded ? Builder.Node(rule) : inside;
        if (isBounded)
        {
            Builder.Move(inside, MoveKind.Enough, close);
        }

        Builder.End(Builder.Literal(close, "\""u8));
        return rule;
    }

    /// <summary>Space, a byte, and space again where the text may go on behind it.</summary>
    public int Punctuation(int from, char value)
    {
        var behind = Builder.NodeBeside(from);
        Builder.Byte(from, value, behind);
        return SpaceBehind(behind);
    }

    /// <summary>The node behind optional space.</summary>
    public int SpaceBehind(int from)
    {
        var behind = Builder.NodeBeside(from);
        Builder.Call(from, Space, behind);
        return behind;
    }

    /// <summary>Closes a container and ends its rule.</summary>
    public void Close(int from, char value)
    {
        var close = SpaceBehind(from);
        var end = Builder.NodeBeside(from);
        Builder.Byte(close, value, end);
        Builder.End(end);
    }

    /// <summary>The bytes of a string as JSON writes it, quotation marks included.</summary>
    public byte[] Quote(string text)
    {
        var bytes = new List<byte> { (byte)'"' };
        foreach (var rune in text.EnumerateRunes())
        {
            var name = "\"\\\b\f\n\r\t".IndexOf((char)Math.Min(rune.Value, 0xFFFF));
            bytes.AddRange(
                name >= 0 ? [(byte)'\\', "\"\\bfnrt"u8[name]]
                : rune.Value < 0x20 || (AsciiOnly && !rune.IsAscii) ? Encoding.ASCII.GetBytes(
                    string.Concat(rune.ToString().Select(unit => $"\\u{(int)unit:x4}")))
                : Encoding.UTF8.GetBytes(rune.ToString()));
        }

        return [.. bytes, (byte)'"'];
    }

    private int MakeSpace()
    {
        var rule = Builder.Rule(most: MaxIndent);
        var (start, line, indent, end) = (Builder.Start(rule), Builder.Node(rule), Builder.Node(rule), Builder.Node(rule));
        Builder.Jump(start, end);
        Builder.Byte(start, ' ', end);
        Builder.Byte(start, '\n', line);
        Builder.Jump(line, end);
        Builder.Move(line, MoveKind.Count, indent);
        Builder.Byte(indent, ' ', line);
        Builder.Byte(indent, '\t', line);
        Builder.End(end);
        return rule;
    }

    private int MakeNumber(bool integers)
    {
        var rule = Builder.Rule();
        var (start, whole, more, end) = (Builder.Start(rule), Builder.Node(rule), Builder.Node(rule), Builder.Node(rule));
        var zero = Builder.Node(rule);
        Builder.Byte(start, '-', whole);
        Builder.Jump(start, whole);
        Builder.Byte(whole, '0', zero);
        Builder.Bytes(whole, (byte)'1', (byte)'9', more);
        Builder.Bytes(more, (byte)'0', (byte)'9', more);
        Builder.Jump(more, zero);
        Builder.Jump(zero, end);
        Builder.End(end);
        if (!integers)
        {
            var (point, fraction, exponent, sign, power) = (Builder.Node(rule), Builder.Node(rule), Builder.Node(rule), Builder.Node(rule), Builder.Node(rule));
            Builder.Byte(zero, '.', point);
            Builder.Bytes(point, (byte)'0', (byte)'9', fraction);
            Builder.Bytes(fraction, (byte)'0', (byte)'9', fraction);
            Builder.Jump(fraction, exponent);
            Builder.Jump(zero, exponent);
            Builder.Jump(fraction, end);
            Builder.Byte(exponent, 'e', sign);
            Builder.Byte(exponent, 'E', sign);
            Builder.Byte(sign, '+', power);
            Builder.Byte(sign, '-', power);
            Builder.Jump(sign, power);
            var digits = Builder.Node(rule);
            Builder.Bytes(power, (byte)'0', (byte)'9', digits);
            Builder.Bytes(digits, (byte)'0', (byte)'9', digits);
            Builder.Jump(digits, end);
        }

        return rule;
    }

    private int MakeValue()
    {
        var rule = Builder.Rule();
        _value = rule;
        var (start, end) = (Builder.Start(rule), Builder.Node(rule));
        Builder.End(end);
        foreach (var kind in (ReadOnlySpan<int>)[Object, Array, String, Number])
        {
            Builder.Call(start, kind, end);
        }

        Builder.Literals(start, end, ["true"u8.ToArray(), "false"u8.ToArray(), "null"u8.ToArray()]);
        return rule;
    }

    private int MakeObject()
    {
        var rule = Builder.Rule(isContainer: true);
        _object = rule;
        var first = Punctuation(Builder.Start(rule), '{');
        var (key, colon, last, end) = (Builder.Node(rule), Builder.Node(rule), Builder.Node(rule), Builder.Node(rule));
        Builder.Byte(first, '}', end);
        Builder.End(end);
        Builder.Jump(first, key);
        Builder.Call(key, String, colon);
        Builder.Call(Punctuation(colon, ':'), Value, last);
        Builder.Jump(Punctuation(last, ','), key);
        Close(last, '}');
        return rule;
    }

    private int MakeArray()
    {
        var rule = Builder.Rule(isContainer: true);
        _array = rule;
        var first = Punctuation(Builder.Start(rule), '[');
        var (item, last, end) = (Builder.Node(rule), Builder.Node(rule), Builder.Node(rule));
        Builder.Byte(first, ']', end);
        Builder.End(end);
        Builder.Jump(first, item);
        Builder.Call(item, Value, last);
        Builder.Jump(Punctuation(last, ','), item);
        Close(last, ']');
        return rule;
    }
}
