using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>JSON without a schema: any object, in well-formed UTF-8, not too deep, and at little cost a token.</summary>
public sealed class JsonObjectTests
{
    [Theory]
    [InlineData("pieces", 2000)]
    [InlineData("demo", 200)]
    [InlineData("unigram", 200)]
    public void Draw_AnyTokensOfTheMasks_GivesObjects(string name, int walks)
    {
        var (vocabulary, finished) = (Vocabulary.Of(name), 0);
        for (var seed = 0; seed < walks; seed++)
        {
            var text = vocabulary.Walk(vocabulary.Compiler.JsonObject(), new Random(seed), most: 300);
            if (text is not null)
            {
                finished++;
                using var value = JsonDocument.Parse(text);
                Assert.Equal(JsonValueKind.Object, value.RootElement.ValueKind);
            }
        }

        Assert.InRange(finished, walks / 2, walks);
    }

    [Theory]
    [InlineData("{}", true)]
    [InlineData(" {}", true)]
    [InlineData("  {}", false)]
    [InlineData("{ }", true)]
    [InlineData("{\n                    }", true)] // 20 spaces
    [InlineData("{\n                     }", false)] // 21
    [InlineData("""{"a":[],"b":{"c":[1,-0.5e-7,true,false,null,"x"]},"":""}""", true)]
    [InlineData("[]", false)]
    [InlineData("{}{}", false)]
    [InlineData("""{"a":1,}""", false)]
    [InlineData("""{"a" 1}""", false)]
    [InlineData("""{"a":1 "b":2}""", false)]
    [InlineData("""{"a":1""", false)]
    public void Accept_Objects_AndNothingElse(string text, bool accepted)
    {
        var vocabulary = Vocabulary.Of("pieces");
        for (var seed = 0; seed < 10; seed++)
        {
            Assert.Equal(accepted, vocabulary.Accepts(vocabulary.Compiler.JsonObject(), text, new Random(seed)));
        }
    }

    [Fact]
    public void Accept_WrittenBySystemTextJson_HoweverItIsCut()
    {
        var vocabulary = Vocabulary.Of("pieces");
        var indented = new JsonSerializerOptions { WriteIndented = true };
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var value = new Dictionary<string, object?> { ["x"] = AnyValue(random, 0), ["é\u0001\"\\"] = AnyValue(random, 0) };
            foreach (var text in (string[])[JsonSerializer.Serialize(value), JsonSerializer.Serialize(value, indented)])
            {
                Assert.True(vocabulary.Accepts(vocabulary.Compiler.JsonObject(), text, random), text);
            }
        }
    }

    [Fact]
    public void Accept_BytesOfAString_ExactlyWellFormedUtf8()
    {
        var vocabulary = Vocabulary.Of("pieces");
        var strict = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
        byte[] borders = [0x00, 0x1F, 0x20, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF];
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = Enumerable.Range(0, 1 + random.Next(4)).Select(_ => borders[random.Next(borders.Length)]).ToArray();
            var valid = bytes.All(value => value >= 0x20) && Record.Exception(() => strict.GetString(bytes)) is null;

            Assert.Equal(valid, AcceptsBytes([.. "{\""u8, .. bytes, .. "\":1}"u8]));
        }

        bool AcceptsBytes(byte[] text)
        {
            var constraint = vocabulary.Compiler.JsonObject();
            return text.All(value => Record.Exception(() => constraint.Accept(1 + value)) is null) && constraint.CanEnd;
        }
    }

    [Fact]
    public void AllowedTokens_AtTheGreatestDepth_OpenNothingMore()
    {
        var vocabulary = Vocabulary.Of("pieces");
        var constraint = vocabulary.Compiler.JsonObject();
        foreach (var value in Encoding.UTF8.GetBytes("{\"a\":" + new string('[', 62)))
        {
            constraint.Accept(1 + value);
        }

        Assert.Contains(1 + '[', Vocabulary.Allowed(constraint));
        Assert.Contains(1 + '{', Vocabulary.Allowed(constraint));
        Assert.DoesNotContain(Vocabulary.Allowed(constraint), id => vocabulary.Tokenizer.Piece(id) is "[[" or "[{");
        Assert.Contains(Vocabulary.Allowed(constraint), id => vocabulary.Tokenizer.Piece(id) == "{}");

        constraint.Accept(1 + '[');
        Assert.DoesNotContain(Vocabulary.Allowed(constraint), id => vocabulary.Tokenizer.Piece(id) is "[" or "{" or "{}" or "[]");
        Assert.Contains(1 + '1', Vocabulary.Allowed(constraint));
        Assert.Contains(Vocabulary.Allowed(constraint), id => vocabulary.Tokenizer.Piece(id) == "]]");
    }

    [Fact]
    public void AllowedTokens_SpecialAndUnknownOnes_Never()
    {
        var vocabulary = Vocabulary.Of("demo");
        var constraint = vocabulary.Compiler.JsonSchema(JsonDocument.Parse("true").RootElement);
        constraint.Accept(Enumerable.Range(0, vocabulary.Tokenizer.VocabularySize).First(id => vocabulary.BytesOf(id) is [(byte)'"']));

        var allowed = Vocabulary.Allowed(constraint);

        Assert.DoesNotContain(vocabulary.Tokenizer.BosId, allowed);
        Assert.DoesNotContain(vocabulary.Tokenizer.EosId, allowed);
        Assert.DoesNotContain(0, allowed); // <unk>
        Assert.True(allowed.Count > vocabulary.Tokenizer.VocabularySize / 2);
    }

    [Fact]
    public void Accept_TokenThatIsNotAllowed_ThrowsAndChangesNothing()
    {
        var constraint = Vocabulary.Of("pieces").Compiler.JsonObject();
        constraint.Accept(1 + '{');
        var before = Vocabulary.Allowed(constraint);

        Assert.Throws<ArgumentOutOfRangeException>(() => constraint.Accept(1 + '!'));
        Assert.Throws<ArgumentOutOfRangeException>(() => constraint.Accept(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => constraint.Accept(1_000_000));

        Assert.Equal(before, Vocabulary.Allowed(constraint));
        constraint.Accept(1 + '}');
        Assert.True(constraint.CanEnd);
        Assert.Empty(Vocabulary.Allowed(constraint));
    }

    private static object? AnyValue(Random random, int depth) => random.Next(depth > 3 ? 5 : 7) switch
    {
        0 => null,
        1 => random.Next(2) == 0,
        2 => random.NextDouble() * Math.Pow(10, random.Next(-20, 20)),
        3 => random.Next(-1000, 1000),
        4 => string.Concat(Enumerable.Range(0, random.Next(6)).Select(_ => new Rune(random.Next(4) == 0 ? random.Next(0xE000, 0x10FFFF) : random.Next(0, 0x300)))),
        5 => Enumerable.Range(0, random.Next(4)).Select(_ => AnyValue(random, depth + 1)).ToArray(),
        _ => Enumerable.Range(0, random.Next(4)).ToDictionary(i => $"k{i}", _ => AnyValue(random, depth + 1)),
    };
}
