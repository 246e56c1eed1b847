using System.Globalization;
using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// The known pre-tokenizer patterns as hand-written scanners over code points. No pattern of a file is ever run: it is recognised by its exact
/// text, or refused. Time is linear in the text.
/// </summary>
internal static class WordScanner
{
    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const string Llama3 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Qwen2 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Tekken =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        + @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        + @"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private enum Kind
    {
        End,
        Letter,
        Number,
        Space,
        Other,
    }

    [Flags]
    private enum Case
    {
        None = 0,
        Upper = 1,
        Lower = 2,
    }

    /// <summary>The scanner of a pattern; <see langword="null"/> where it is none of the known ones, to the letter.</summary>
    public static WordSplit? Recognise(string pattern) => pattern switch
    {
        Gpt2 => WordSplit.Gpt2,
        Llama3 => WordSplit.Llama3,
        Qwen2 => WordSplit.Qwen2,
        Tekken => WordSplit.Tekken,
        _ => null,
    };

    /// <summary>The bytes of the first word.</summary>
    /// <param name="text">Valid UTF-8, not empty.</param>
    /// <param name="split">Which pattern.</param>
    public static int FirstWord(ReadOnlySpan<byte> text, WordSplit split) => split switch
    {
        WordSplit.None => text.Length,
        WordSplit.Gpt2 => Gpt2Word(text),
        WordSplit.Gpt2Digits => Gpt2Word(BeforeDigit(text)),
        WordSplit.Llama3 => Llama3Word(text, maxDigitCount: 3),
        WordSplit.Tekken => TekkenWord(text),
        _ => Llama3Word(text, maxDigitCount: 1),
    };

    // A digit alone, or what lies before the next one; what follows is not looked at, as it was cut off before.
    private static ReadOnlySpan<byte> BeforeDigit(ReadOnlySpan<byte> text)
    {
        if (KindAt(text, out var length) == Kind.Number)
        {
            return text[..length];
        }

        // A word ends at the first character of another kind but one, so looking further would make the whole quadratic.
        var end = 0;
        var changes = 0;
        var before = Kind.End;
        for (var kind = KindAt(text, out length); kind is not (Kind.End or Kind.Number) && changes < 4; kind = KindAt(text[end..], out length))
        {
            changes += kind == before ? 0 : 1;
            before = kind;
            end += length;
        }

        return text[..end];
    }

    private static int Gpt2Word(ReadOnlySpan<byte> text)
    {
        if (Contraction(text, anyCase: false) is > 0 and var contraction)
        {
            return contraction;
        }

        var start = text[0] == ' ' && KindAt(text[1..], out _) is Kind.Letter or Kind.Number or Kind.Other ? 1 : 0;
        var kind = KindAt(text[start..], out _);
        return kind == Kind.Space ? Spaces(text) : start + Run(text[start..], kind);
    }

    private static int Llama3Word(ReadOnlySpan<byte> text, int maxDigitCount)
    {
        if (Contraction(text, anyCase: true) is > 0 and var contraction)
        {
            return contraction;
        }

        var kind = KindAt(text, out var length);
        if (kind == Kind.Letter)
        {
            return Run(text, Kind.Letter);
        }

        if (kind != Kind.Number && !IsLineBreak(text[0]) && KindAt(text[length..], out _) == Kind.Letter)
        {
            return length + Run(text[length..], Kind.Letter);
        }

        if (kind == Kind.Number)
        {
            return Run(text, Kind.Number, maxDigitCount);
        }

        return Rest(text, kind, andSlashes: false);
    }

    // Neither capitals nor small letters need be there, but one of them; letters without case and marks are both. The pattern takes as many
    // capitals as it can and then small letters, and where none follow, gives back what may be one.
    private static int TekkenWord(ReadOnlySpan<byte> text)
    {
        var kind = KindAt(text, out var length);
        var afterOther = kind is Kind.Letter or Kind.Number || IsLineBreak(text[0]) ? [] : text[length..];
        return EndsSmall(afterOther) is > 0 and var small ? length + small
            : EndsSmall(text) is > 0 and var ownSmall ? ownSmall
            : Capitals(afterOther) is > 0 and var capitals ? length + capitals
            : Capitals(text) is > 0 and var ownCapitals ? ownCapitals
            : kind == Kind.Number ? length
            : Rest(text, kind, andSlashes: true);
    }

    // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+; 0 for none.
    private static int EndsSmall(ReadOnlySpan<byte> text)
    {
        var (end, afterBoth) = (0, 0);
        for (var role = CaseAt(text, out var length); (role & Case.Upper) != 0; role = CaseAt(text[end..], out length))
        {
            end += length;
            afterBoth = (role & Case.Lower) != 0 ? end : afterBoth;
        }

        var capitals = end;
        while ((CaseAt(text[end..], out var length) & Case.Lower) != 0)
        {
            end += length;
        }

        return end > capitals ? end : afterBoth;
    }

    // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+, behind which no small letter is: what ends with one was taken before; 0 for none.
    private static int Capitals(ReadOnlySpan<byte> text)
    {
        var end = 0;
        while ((CaseAt(text[end..], out var length) & Case.Upper) != 0)
        {
            end += length;
        }

        return end;
    }

    private static Case CaseAt(ReadOnlySpan<byte> text, out int length)
    {
        if (text.IsEmpty)
        {
            length = 0;
            return Case.None;
        }

        _ = Rune.DecodeFromUtf8(text, out var rune, out length);
        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.TitlecaseLetter => Case.Upper,
            UnicodeCategory.LowercaseLetter => Case.Lower,
            UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter or UnicodeCategory.NonSpacingMark
                or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => Case.Upper | Case.Lower,
            _ => Case.None,
        };
    }

    //  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    private static int Rest(ReadOnlySpan<byte> text, Kind kind, bool andSlashes)
    {
        var start = text[0] == ' ' && KindAt(text[1..], out _) == Kind.Other ? 1 : 0;
        if (kind == Kind.Other || start == 1)
        {
            var end = start + Run(text[start..], Kind.Other);
            while (end < text.Length && (IsLineBreak(text[end]) || (andSlashes && text[end] == '/')))
            {
                end++;
            }

            return end;
        }

        // White space up to its last line break, if it has one.
        var spaces = Run(text, Kind.Space);
        var lineBreak = text[..spaces].LastIndexOfAny((byte)'\r', (byte)'\n');
        return lineBreak >= 0 ? lineBreak + 1 : Spaces(text);
    }

    // White space at the end of the text whole, elsewhere all but its last character, which belongs to what follows.
    private static int Spaces(ReadOnlySpan<byte> text)
    {
        var end = 0;
        var last = 0;
        while (KindAt(text[end..], out var length) == Kind.Space)
        {
            last = end;
            end += length;
        }

        return end == text.Length || last == 0 ? end : last;
    }

    private static int Run(ReadOnlySpan<byte> text, Kind kind, int maxCount = int.MaxValue)
    {
        var end = 0;
        for (var count = 0; count < maxCount && KindAt(text[end..], out var length) == kind; count++)
        {
            end += length;
        }

        return end;
    }

    // 's, 't, 're, 've, 'm, 'll, 'd.
    private static int Contraction(ReadOnlySpan<byte> text, bool anyCase)
    {
        if (text.Length < 2 || text[0] != '\'')
        {
            return 0;
        }

        var first = anyCase ? text[1] | 0x20 : text[1];
        var second = text.Length < 3 ? 0 : anyCase ? text[2] | 0x20 : text[2];
        if (anyCase && text[1..].StartsWith("\u017F"u8))
        {
            return 3; // U+017F, whose upper case is S
        }

        return first is 's' or 't' or 'm' or 'd' ? 2
            : (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3
            : 0;
    }

    private static bool IsLineBreak(byte value) => value is (byte)'\r' or (byte)'\n';

    private static Kind KindAt(ReadOnlySpan<byte> text, out int length)
    {
        if (text.IsEmpty)
        {
            length = 0;
            return Kind.End;
        }

        _ = Rune.DecodeFromUtf8(text, out var rune, out length);
        return Rune.IsWhiteSpace(rune) ? Kind.Space : Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Kind.Other,
        };
    }
}
