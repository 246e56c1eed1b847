using System.Text.Json;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

public sealed class FormCTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("plain text, naïve", "plain text, naïve")]
    [InlineData("e\u0301", "é")]
    [InlineData("q\u0307\u0323", "q\u0323\u0307")] // ordered, though nothing composes
    [InlineData("d\u0307\u0323", "\u1E0D\u0307")] // ordered, then the nearer mark composes
    [InlineData("\u1100\u1161\u11A8", "각")]
    [InlineData("\u212B\u2126", "ÅΩ")] // singletons
    [InlineData("\u0958", "\u0915\u093C")] // excluded from composition
    [InlineData("\uD834\uDD5E", "\uD834\uDD57\uD834\uDD65")]
    public void Normalize_KnownCases_GivesFormC(string text, string expected) => Assert.Equal(expected, FormC.Normalize(text));

    /// <summary>150 random texts of marks, Hangul, Greek, Indic and singletons with what Python's unicodedata makes of them.</summary>
    [Fact]
    public void Normalize_RandomText_AgreesWithReference()
    {
        var path = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "form_c.json");
        var cases = JsonSerializer.Deserialize<string[][]>(File.ReadAllBytes(path))!;

        Assert.True(cases.Length > 140);
        Assert.All(cases, pair => Assert.Equal(pair[1], FormC.Normalize(pair[0])));
        Assert.All(cases, pair => Assert.Equal(pair[1], FormC.Normalize(pair[1])));
    }

    [Fact]
    public void Normalize_MillionMarks_EndsInTime()
        => Assert.Equal(1 << 20, FormC.Normalize("a" + string.Concat(Enumerable.Repeat("\u0323\u0327", 1 << 19))).Length);
}
