using System.Text;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>Character maps whose bytes lie: refused, or without effect, and never read beyond. What right ones do is in <see cref="UnigramTokenizerTests"/>.</summary>
public sealed class CharacterMapTests
{
    private static readonly string Model = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "unigram", "rules.model");

    [Fact]
    public void LongestMatch_OverlappingSequences_TakesTheLongest()
    {
        var map = CharacterMap.TryRead(CharacterMapField.Of(Model))!;

        Assert.Equal((2, "x"), Match(map, "abd"));
        Assert.Equal((3, "yy"), Match(map, "abcdefg"));
        Assert.Equal((8, "z"), Match(map, "abcdefghi"));
        Assert.Equal((3, ""), Match(map, "\u200Ba"));
        Assert.Equal((0, ""), Match(map, "a"));
        Assert.Equal((0, ""), Match(map, ""));
    }

    [Fact]
    public void TryRead_DamagedBytes_AreRefusedOrReplaceByWholeCharacters()
    {
        var whole = CharacterMapField.Of(Model);
        var random = new Random(9);
        var read = 0;
        for (var number = 0; number < 20_000; number++)
        {
            var bytes = whole.ToArray();
            for (var count = random.Next(1, 12); count > 0; count--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            if (CharacterMap.TryRead(bytes.AsSpan(0, random.Next(4) == 0 ? random.Next(bytes.Length) : bytes.Length)) is { } map)
            {
                read++;
                var text = Encoding.UTF8.GetBytes("abcdefgh \u00E9\u65E5\u672Ce\u0301");
                for (var start = 0; start < text.Length; start++)
                {
                    var length = map.LongestMatch(text.AsSpan(start), out var replacement);
                    Assert.InRange(length, 0, text.Length - start);
                    Assert.True(System.Text.Unicode.Utf8.IsValid(replacement));
                }
            }
        }

        Assert.InRange(read, 1000, 19_999);
    }

    [Theory]
    [InlineData("")]
    [InlineData("01")]
    [InlineData("FFFFFFFF0000000000")]
    [InlineData("0000000061 00")]         // no trie
    [InlineData("0300000000000000 00")]   // not of whole units
    [InlineData("0400000000000000")]      // no replacements
    [InlineData("0400000000000000 61")]   // which do not end
    [InlineData("0400000000000000 80 00")]
    public void TryRead_NoMap_IsRefused(string hex) => Assert.Null(CharacterMap.TryRead(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal))));

    [Fact]
    public void TryRead_ReplacementOfManyBytes_IsRefused()
        => Assert.Null(CharacterMap.TryRead([4, 0, 0, 0, 0, 0, 0, 0, .. Enumerable.Repeat((byte)'a', 129), 0]));

    private static (int Length, string Replacement) Match(CharacterMap map, string text)
    {
        var length = map.LongestMatch(Encoding.UTF8.GetBytes(text), out var replacement);
        return (length, Encoding.UTF8.GetString(replacement));
    }
}
