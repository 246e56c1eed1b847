using System.Text;
using System.Text.RegularExpressions;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>The hand-written scanners against the patterns themselves, run by .NET's engine over text within the basic plane.</summary>
public sealed class WordScannerTests
{
    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const string Llama3 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Tekken =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private static readonly string Qwen2 = Llama3.Replace("{1,3}", "", StringComparison.Ordinal);

    // Chosen so that every branch is met often, and its neighbours too.
    private const string Alphabet = "  \t\n\r\u00A0\u3000''sStTrReEvVmMlLdDaZß0179½Ⅷ.,!?-_+//ABǅʰ\u0301\u0903\u20DDé漢字かةﬁ𝄀";

    [Theory]
    [InlineData(Gpt2, "Gpt2")]
    [InlineData(Llama3, "Llama3")]
    [InlineData(Tekken, "Tekken")]
    public void Recognise_KnownPattern_ToTheLetter(string pattern, string split)
    {
        Assert.Equal(Enum.Parse<WordSplit>(split), WordScanner.Recognise(pattern));
        Assert.Equal(WordSplit.Qwen2, WordScanner.Recognise(Qwen2));
        Assert.Null(WordScanner.Recognise(pattern + "|x"));
        Assert.Null(WordScanner.Recognise(" " + pattern));
        Assert.Null(WordScanner.Recognise("(a+)+$"));
    }

    [Fact]
    public void FirstWord_RandomText_CutsAsThePatternsDo()
    {
        (string Pattern, WordSplit Split)[] patterns = [(Gpt2, WordSplit.Gpt2), (Llama3, WordSplit.Llama3), (Qwen2, WordSplit.Qwen2), (Tekken, WordSplit.Tekken)];
        var random = new Random(31);
        foreach (var (pattern, split) in patterns)
        {
            var regex = new Regex(pattern, RegexOptions.CultureInvariant);
            for (var i = 0; i < 3000; i++)
            {
                // Half of a surrogate pair is no text, and a whole one is a symbol to the one and two of no kind to the other.
                var text = new string([.. Enumerable.Range(0, random.Next(1, 24)).Select(_ => Alphabet[random.Next(Alphabet.Length - 2)])]);
                Assert.Equal(regex.Matches(text).Select(match => match.Value), Words(text, split));
            }
        }
    }

    /// <summary>Digits set apart before the rest is cut, so that no word and no look-ahead reaches over one.</summary>
    [Theory]
    [InlineData("ab12 c", new[] { "ab", "1", "2", " c" })]
    [InlineData("a  1", new[] { "a", "  ", "1" })]
    [InlineData("  a", new[] { " ", " a" })]
    [InlineData("it's 4.5!", new[] { "it", "'s", " ", "4", ".", "5", "!" })]
    public void FirstWord_Gpt2Digits_SetsDigitsApart(string text, string[] words) => Assert.Equal(words, Words(text, WordSplit.Gpt2Digits));

    /// <summary>Letters and digits beyond the basic plane are letters and digits, and U+017F is an s.</summary>
    [Theory]
    [InlineData("a𝐀𝐁 b", new[] { "a𝐀𝐁", " b" })]
    [InlineData("𝟏𝟐𝟑𝟒", new[] { "𝟏𝟐𝟑", "𝟒" })]
    [InlineData("x'ſ y", new[] { "x", "'ſ", " y" })]
    [InlineData("I'LL 12345 \n\n  go", new[] { "I", "'LL", " ", "123", "45", " \n\n", " ", " go" })]
    public void FirstWord_Llama3_KnowsAllPlanes(string text, string[] words) => Assert.Equal(words, Words(text, WordSplit.Llama3));

    [Theory]
    [InlineData("HelloWorld HTTPServer", new[] { "Hello", "World", " HTTPServer" })]
    [InlineData("a𝐀b 12 //\n/x", new[] { "a", "𝐀b", " ", "1", "2", " //\n/", "x" })]
    [InlineData("漢字A B", new[] { "漢字", "A", " B" })]
    public void FirstWord_Tekken_CutsBeforeCapitals(string text, string[] words) => Assert.Equal(words, Words(text, WordSplit.Tekken));

    /// <summary>A million of one kind, and of two in turn, in time that no quadratic scanner would need.</summary>
    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData(" \n")]
    [InlineData("a1")]
    [InlineData("' ")]
    [InlineData("aA")]
    [InlineData("A\u0301")]
    public void FirstWord_LongRuns_EndsInTime(string unit)
    {
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(unit, (1 << 20) / unit.Length))).AsSpan();
        foreach (var split in Enum.GetValues<WordSplit>())
        {
            var rest = text;
            while (!rest.IsEmpty)
            {
                rest = rest[WordScanner.FirstWord(rest, split)..];
            }
        }
    }

    private static List<string> Words(string text, WordSplit split)
    {
        var words = new List<string>();
        for (var rest = Encoding.UTF8.GetBytes(text).AsSpan(); !rest.IsEmpty;)
        {
            var length = WordScanner.FirstWord(rest, split);
            words.Add(Encoding.UTF8.GetString(rest[..length]));
            rest = rest[length..];
        }

        return words;
    }
}
