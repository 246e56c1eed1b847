using System.Text;
using System.Text.RegularExpressions;
using Distributed.Engine.Constraints;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>Patterns against .NET's regular expressions in ECMAScript's manner, and sets of characters against arithmetic.</summary>
public sealed class PatternTests
{
    [Theory]
    [InlineData("^a*$")]
    [InlineData("ab|^b")]
    [InlineData("^(a|bc)+d?$")]
    [InlineData("^[^ab]{2,3}$")]
    [InlineData("^(?:ab){2}|c$")]
    [InlineData("a{2,}")]
    [InlineData("^a{0,2}b+?c*?$")]
    [InlineData("^.$")]
    [InlineData("^\\d\\D\\w?$")]
    [InlineData("^[\\w-]+$")]
    [InlineData("^[a\\-c]*\\.$")]
    [InlineData("^(a(b(c|d)?)*)?$")]
    [InlineData("^$")]
    [InlineData("")]
    [InlineData("^(|a)b$")]
    [InlineData("[\\u0061-c]\\x62$")]
    [InlineData("^[]$")]
    [InlineData("^\\/\\$\\^$")]
    [InlineData("^(a|b)*a(a|b){5}$")]
    public void Determinize_Pattern_MatchesWhatTheRegexMatches(string pattern)
    {
        var automaton = TextAutomaton.Of(PatternReader.Read(pattern, "#")).Determinize();
        var regex = pattern == "^[]$" ? new Regex("^(?!)$") : new Regex(pattern.Replace("$", "\\z", StringComparison.Ordinal).Replace("\\\\z", "\\$", StringComparison.Ordinal), RegexOptions.ECMAScript);
        var random = new Random(3);
        for (var i = 0; i < 3_000; i++)
        {
            var text = new string([.. Enumerable.Range(0, random.Next(8)).Select(_ => "aaabbbcd1-.$^/é\n"[random.Next(16)])]);
            Assert.True(regex.IsMatch(text) == Matches(automaton, text), text);
        }
    }

    [Fact]
    public void Intersect_Two_MatchesWhatBothMatch()
    {
        var (left, right) = (Automaton("^(a|b)*a(a|b)$"), Automaton("^(ab|ba|aa)*$"));
        var both = left.Intersect(right);
        for (var bits = 0; bits < 1024; bits++)
        {
            var text = Convert.ToString(bits, 2).Replace('0', 'a').Replace('1', 'b');
            Assert.Equal(Matches(left, text) && Matches(right, text), Matches(both, text));
        }
    }

    [Fact]
    public void Except_Words_MatchesAllOthers()
    {
        var automaton = TextAutomaton.Except(["a", "ab", "é😀", ""]);
        foreach (var text in (string[])["a", "ab", "é😀", ""])
        {
            Assert.False(Matches(automaton, text));
        }

        foreach (var text in (string[])["b", "abc", "é", "aé", "é😀!", "ba"])
        {
            Assert.True(Matches(automaton, text));
        }
    }

    [Theory]
    [InlineData("(?=a)", "looks around")]
    [InlineData("(?<n>a)", "has a name")]
    [InlineData("(a)\\1", "'\\1', which cannot be enforced")]
    [InlineData("\\bword", "'\\b', which cannot be enforced")]
    [InlineData("\\p{L}", "'\\p', which cannot be enforced")]
    [InlineData("a**", "repeats a repetition")]
    [InlineData("(a", "lacks a ')'")]
    [InlineData("a)", "')' too many")]
    [InlineData("[a", "ends too early")]
    [InlineData("[z-a]", "from high to low")]
    [InlineData("a{2,1}", "with m up to n")]
    [InlineData("a{100000}", "no number up to 1000")]
    [InlineData("a^b", "'^' elsewhere")]
    [InlineData("(a$)", "'$' elsewhere")]
    [InlineData("*", "nothing before it")]
    [InlineData("\\uD800", "no character")]
    public void Read_WhatIsNotRegular_IsRefusedByName(string pattern, string problem)
    {
        var error = Assert.Throws<SchemaException>(() => PatternReader.Read(pattern, "#/pattern"));
        Assert.StartsWith("The pattern at #/pattern has", error.Message.Replace(" repeats", " has repeats", StringComparison.Ordinal).Replace(" lacks", " has lacks", StringComparison.Ordinal).Replace(" ends", " has ends", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("((((((a{1000}){1000}){1000}){1000}){1000}){1000})")]
    [InlineData("(a|b)*a(a|b){30}")]
    [InlineData("(((((a?){20}){20}){20}){20})")]
    public void Determinize_PatternsThatExplode_AreRefused(string pattern)
        => Assert.Throws<SchemaException>(() => TextAutomaton.Of(PatternReader.Read(pattern, "#")).Determinize());

    [Fact]
    public void Utf8Ranges_OfAnyRange_AreItsCharacters()
    {
        var random = new Random(5);
        int[] borders = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF, 0xFFFFF, 0x3F, 0xFFF, 0x1000];
        for (var i = 0; i < 200; i++)
        {
            var (one, two) = (random.Next(2) == 0 ? borders[random.Next(borders.Length)] : random.Next(0x110000), random.Next(2) == 0 ? borders[random.Next(borders.Length)] : random.Next(0x110000));
            var set = CodePointSet.Of((Math.Min(one, two), Math.Max(one, two)));
            var sequences = set.Ranges.SelectMany(range => Utf8Ranges.Of(range.First, range.Last)).ToList();
            for (var j = 0; j < 300; j++)
            {
                var near = random.Next(3) switch { 0 => one + random.Next(-2, 3), 1 => two + random.Next(-2, 3), _ => random.Next(0x110000) };
                if (Rune.IsValid(near))
                {
                    var bytes = Encoding.UTF8.GetBytes(new Rune(near).ToString());
                    Assert.Equal(set.Contains(near) ? 1 : 0, sequences.Count(sequence => sequence.Length == bytes.Length && sequence.Zip(bytes).All(pair => pair.Second >= pair.First.Low && pair.Second <= pair.First.High)));
                }
            }
        }
    }

    private static TextAutomaton Automaton(string pattern) => TextAutomaton.Of(PatternReader.Read(pattern, "#")).Determinize();

    private static bool Matches(TextAutomaton automaton, string text)
    {
        var states = Closed([0]);
        foreach (var rune in text.EnumerateRunes())
        {
            states = Closed(states.SelectMany(state => automaton.Steps(state).Where(step => step.Set.Contains(rune.Value)).Select(step => step.Target)));
        }

        return states.Contains(automaton.End);

        HashSet<int> Closed(IEnumerable<int> begin)
        {
            var all = begin.ToHashSet();
            var pending = new Queue<int>(all);
            while (pending.TryDequeue(out var state))
            {
                foreach (var target in automaton.Jumps(state).Where(all.Add))
                {
                    pending.Enqueue(target);
                }
            }

            return all;
        }
    }
}
