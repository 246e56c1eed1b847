using System.Collections.Immutable;
using System.Text;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Stop texts are found on text: wherever its pieces end, the same text comes out.</summary>
public class StopMatcherTests
{
    [Theory]
    [InlineData("abcd", "ab|cd", "", "abcd")] // no stop
    [InlineData("one STOP two", "one STOP two", "STOP", "one ")]
    [InlineData("one STOP two", "one S|T|O|P two", "STOP", "one ")]
    [InlineData("aaab", "a|a|a|b", "aab", "a")] // the beginning of a stop begins anew within itself
    [InlineData("abcd", "a|b|c|d", "abcd,bc", "a")] // the stop that is complete first
    [InlineData("xabc", "xabc", "c,abc", "x")] // of those that end together the longest
    [InlineData("ST", "S|T", "STOP", "ST")] // what was held back comes at the end
    [InlineData("\n\nHuman", "\n|\nHu|man", "\n\nHuman:", "\n\nHuman")]
    [InlineData("a😀b", "a|😀|b", "😀", "a")]
    public void Push_Pieces_LetOutTheTextBeforeTheStop(string text, string pieces, string stops, string expected)
    {
        Assert.Equal(text, pieces.Replace("|", "", StringComparison.Ordinal));
        var matcher = new StopMatcher(Stops(stops));
        var shown = string.Concat(pieces.Split('|').Select(matcher.Push)) + matcher.Flush();

        Assert.Equal(expected, shown);
        Assert.Equal(expected != text, matcher.IsStopped);
    }

    [Fact]
    public void Push_AnyTextCutAnywhere_LetsOutWhatTheWholeTextDoes()
    {
        var random = new Random(1);
        for (var round = 0; round < 20_000; round++)
        {
            var text = Text(random, random.Next(0, 24));
            var stops = Enumerable.Range(0, random.Next(1, 4)).Select(_ => Text(random, random.Next(1, 6))).ToImmutableArray();
            var expected = Before(text, stops);
            var matcher = new StopMatcher(stops);
            var shown = new StringBuilder();
            for (var place = 0; place < text.Length;)
            {
                var length = Math.Min(random.Next(1, 5), text.Length - place);
                shown.Append(matcher.Push(text.Substring(place, length)));
                place += length;
                // Nothing that comes out is ever taken back, and no more is held back than may be a stop.
                Assert.StartsWith(shown.ToString(), expected, StringComparison.Ordinal);
                Assert.True(matcher.IsStopped || place - shown.Length < stops.Max(stop => stop.Length), $"'{text[..place]}' is held back");
            }

            shown.Append(matcher.Flush());
            Assert.Equal(expected, shown.ToString());
        }
    }

    // The rule, plainly: the first place where a stop ends, and of those that end there the longest.
    private static string Before(string text, ImmutableArray<string> stops)
    {
        for (var end = 1; end <= text.Length; end++)
        {
            var ending = stops.Where(stop => text[..end].EndsWith(stop, StringComparison.Ordinal)).ToArray();
            if (ending.Length > 0)
            {
                return text[..(end - ending.Max(stop => stop.Length))];
            }
        }

        return text;
    }

    private static string Text(Random random, int length) => string.Concat(Enumerable.Range(0, length).Select(_ => "ab\n"[random.Next(3)]));

    private static ImmutableArray<string> Stops(string stops) => [.. stops.Split(',', StringSplitOptions.RemoveEmptyEntries)];
}
