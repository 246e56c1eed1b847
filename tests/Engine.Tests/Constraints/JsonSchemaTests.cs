using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>Schemas as clients send them: whatever is drawn under their masks is valid, and what is valid can be drawn.</summary>
public sealed class JsonSchemaTests
{
    private static readonly (string Schema, string[] Valid, string[] Invalid)[] Cases =
    [
        ("""{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],"additionalProperties":false}""",
            ["""{"name":"Wren","age":3}""", """{"name": "é€😀\n\u00e9\ud83d\ude00", "age": -12}""", "{\n  \"name\": \"\",\n  \"age\": 0\n}"],
            ["""{"age":3,"name":"Wren"}""", """{"name":"Wren"}""", """{"name":"Wren","age":3,"x":1}""", """{"name":"Wren","age":03}""", """{"name":"Wren","age":3.5}""", "{}", "[]"]),
        ("""{"type":"object","properties":{"a":{"type":"boolean"},"b":{"type":"null"},"c":{"type":"number"}},"required":["b"]}""",
            ["""{"a":true,"b":null,"c":-1.5e+3}""", """{"b":null}""", """{"a":false,"b":null}""", """{"b":null,"c":0}"""],
            ["{}", """{"a":true}""", """{"b":null,}""", """{"b":null,"a":true}""", """{"b":null,"c":1.}""", """{"b":null,"c":.5}"""]),
        ("""{"type":"object","properties":{"name":{"type":"string"}},"additionalProperties":{"type":"integer"}}""",
            ["{}", """{"name":"x"}""", """{"name":"x","names":1,"nam":2,"":3}""", """{"y":1}"""],
            ["""{"name":1}""", """{"x":"y"}""", """{"y":1,"name":2}""", """{"n\u0061me":2}"""]),
        ("""{"type":"object","required":["x"]}""", ["""{"x":[1,{"y":null}]}""", """{"x":1,"y":"z"}"""], ["{}", """{"y":1}"""]),
        ("""{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":4}""", ["[1,2]", "[1, 2, 3, 4]"], ["[]", "[1]", "[1,2,3,4,5]", """[1,"2"]"""]),
        ("""{"type":"array","items":{"type":"string"},"maxItems":1}""", ["[]", """["x"]"""], ["""["x","y"]"""]),
        ("""{"type":"array","maxItems":0}""", ["[]"], ["[1]"]),
        ("""{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false,"minItems":1}""", ["""["x"]""", """["x",1]"""], ["[]", """["x",1,2]""", """["x","y"]"""]),
        ("""{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"boolean"},"minItems":3,"maxItems":5}""",
            ["""["x",true,false]""", """["x",true,false,true,true]"""], ["""["x",true]""", """["x",true,false,true,true,true]"""]),
        ("""{"enum":["red","green","re",1,null,{"a":[1,"x"]}]}""", ["\"red\"", "\"re\"", "1", "null", """{"a":[1,"x"]}"""], ["\"blue\"", "2", "true", "\"r\""]),
        ("""{"type":"string","enum":["é\"","b"]}""", ["\"é\\\"\"", "\"b\""], ["\"é\""]),
        ("""{"const":{"kind":"x"}}""", ["""{"kind":"x"}"""], ["{}"]),
        ("""{"type":"string","minLength":2,"maxLength":4}""", ["\"ab\"", "\"é€😀x\"", "\"\\n\\u00e9\\ud83d\\ude00\\\\\""], ["\"a\"", "\"abcde\"", "\"\\n\\n\\n\\n\\n\""]),
        ("""{"type":"string","minLength":3}""", ["\"abc\"", "\"hello hello hello\""], ["\"ab\"", "\"\""]),
        ("""{"type":"string","pattern":"^[a-c]+\\d{2,3}$"}""", ["\"abc12\"", "\"a123\""], ["\"abc1\"", "\"xabc12\"", "\"abc1234\""]),
        ("""{"type":"string","pattern":"^[ab]{0,2}[\"\\\\]{1,2}$"}""", ["\"ab\\\\\"", "\"\\\"\\\\\""], ["\"b\"", "\"\"", "\"abb\\\\\""]),
        ("""{"type":"string","pattern":"^(ab)*$","minLength":1,"maxLength":5}""", ["\"ab\"", "\"abab\""], ["\"\"", "\"ababab\"", "\"aba\""]),
        ("""{"type":"string","format":"date"}""", ["\"2024-02-29\"", "\"1999-12-31\""], ["\"2023-02-29\"", "\"2024-13-01\"", "\"2024-04-31\"", "\"1900-02-29\""]),
        ("""{"type":"string","format":"date-time"}""", ["\"2024-02-29T23:59:59.123Z\"", "\"2024-01-01T00:00:00+05:30\""], ["\"2024-01-01T24:00:00Z\"", "\"2024-01-01T00:00:00\""]),
        ("""{"type":"string","format":"uuid"}""", ["\"123e4567-e89b-12d3-a456-426614174000\""], ["\"123e4567e89b12d3a456426614174000\""]),
        ("""{"type":"string","format":"ipv4"}""", ["\"192.168.0.1\""], ["\"256.1.1.1\"", "\"1.1.1\""]),
        ("""{"type":"string","format":"ipv6"}""", ["\"::1\"", "\"2001:db8::8a2e:370:7334\"", "\"::\""], ["\"1::2::3\"", "\":1\""]),
        ("""{"type":"string","format":"email"}""", ["\"a.b+c@example.com\""], ["\"a@b\"", "\"@example.com\""]),
        ("""{"type":"integer","minimum":-5,"maximum":17}""", ["-5", "0", "9", "17"], ["-6", "18", "100", "-10", "1.0"]),
        ("""{"type":"integer","exclusiveMinimum":0}""", ["1", "999999999999999999999"], ["0", "-1", "-0"]),
        ("""{"type":"number","minimum":0,"exclusiveMaximum":1}""", ["0", "0.5", "0.999", "0.0"], ["1", "1.0", "-0.1", "1e-3"]),
        ("""{"type":"number","minimum":-1.5,"maximum":12.25}""", ["-1.5", "-1.50", "12.25", "12.2", "-0.3", "7"], ["-1.51", "12.26", "13", "-2"]),
        ("""{"type":["string","null"]}""", ["null", "\"x\""], ["1", "true"]),
        ("""{"anyOf":[{"type":"string","maxLength":1},{"type":"array","items":{"type":"integer"}},{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}]}""",
            ["\"x\"", "[1]", """{"x":1}"""], ["\"xy\"", """{"x":"y"}""", "1"]),
        ("""{"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"v":{"type":"integer"}},"required":["kind","v"]},{"type":"object","properties":{"kind":{"const":"b"},"v":{"type":"string"}},"required":["kind","v"]}]}""",
            ["""{"kind":"a","v":1}""", """{"kind":"b","v":"1"}"""], ["""{"kind":"a","v":"1"}""", """{"kind":"c","v":1}"""]),
        ("""{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":3}},"required":["a"]},{"properties":{"a":{"maximum":5},"b":{"type":"string"}}}]}""",
            ["""{"a":3}""", """{"a":5,"b":""}"""], ["""{"a":6}""", """{"b":"x"}""", """{"a":2}"""]),
        ("""{"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/node"}""",
            ["""{"v":1,"next":null}""", """{"v":1,"next":{"v":2,"next":{"v":3,"next":null}}}"""], ["""{"v":1}""", """{"v":1,"next":{}}"""]),
        ("""{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}},"required":["children"],"additionalProperties":false}""",
            ["""{"children":[]}""", """{"children":[{"children":[]},{"children":[{"children":[]}]}]}"""], ["{}", """{"children":[1]}"""]),
        ("""{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"properties":{"b":{"type":"integer"}},"required":["b"]}]}""",
            ["""{"a":"x"}""", """{"a":"x","b":1}""", """{"b":1}"""], ["{}"]),
        ("true", ["1", "\"x\"", "[[],{}]", "{\"a\":[true]}", "null"], ["", "{a:1}", "[1,]", "\"\t\"", "\"\\x\"", "\"\\ud800\"", "01", "+1", "nul"]),
    ];

    public static TheoryData<int, string> Walks
    {
        get
        {
            var walks = new TheoryData<int, string>();
            foreach (var index in Enumerable.Range(0, Cases.Length))
            {
                foreach (var vocabulary in (string[])["pieces", "demo", "unigram"])
                {
                    walks.Add(index, vocabulary);
                }
            }

            return walks;
        }
    }

    [Theory]
    [MemberData(nameof(Walks))]
    public void Draw_AnyTokensOfTheMasks_GivesValidValues(int index, string name)
    {
        using var schema = JsonDocument.Parse(Cases[index].Schema);
        var (vocabulary, checker, finished) = (Vocabulary.Of(name), new SchemaChecker(schema.RootElement), 0);
        for (var seed = 0; seed < 100; seed++)
        {
            var text = vocabulary.Walk(vocabulary.Compiler.JsonSchema(schema.RootElement), new Random(seed), most: 400);
            if (text is not null)
            {
                finished++;
                using var value = JsonDocument.Parse(text);
                Assert.True(checker.IsValid(value.RootElement), $"Seed {seed} gave {text}, which {Cases[index].Schema} forbids.");
            }
        }

        Assert.InRange(finished, 50, 100);
    }

    [Theory]
    [MemberData(nameof(Walks))]
    public void Accept_ValidValues_HoweverTheyAreCut(int index, string name)
    {
        using var schema = JsonDocument.Parse(Cases[index].Schema);
        var (vocabulary, checker) = (Vocabulary.Of(name), new SchemaChecker(schema.RootElement));
        foreach (var text in Cases[index].Valid)
        {
            Assert.True(checker.IsValid(JsonDocument.Parse(text).RootElement), $"The test is wrong about {text}.");
            for (var seed = 0; seed < 10; seed++)
            {
                Assert.True(vocabulary.Accepts(vocabulary.Compiler.JsonSchema(schema.RootElement), text, new Random(seed)), $"{text} was not accepted.");
            }
        }

        foreach (var text in Cases[index].Invalid)
        {
            Assert.False(vocabulary.Accepts(vocabulary.Compiler.JsonSchema(schema.RootElement), text, new Random(index)), $"{text} was accepted.");
        }
    }

    [Theory]
    [MemberData(nameof(Walks))]
    public void AllowedTokens_AreThoseThatAcceptTakes(int index, string name)
    {
        using var schema = JsonDocument.Parse(Cases[index].Schema);
        var vocabulary = Vocabulary.Of(name);
        for (var seed = 0; seed < 3; seed++)
        {
            var random = new Random(seed);
            var ids = new List<int>();
            for (var count = 0; count < 25; count++)
            {
                var constraint = After(ids);
                var allowed = Vocabulary.Allowed(constraint).ToHashSet();
                for (var id = 0; id < vocabulary.Tokenizer.VocabularySize; id++)
                {
                    var taken = Record.Exception(() => After(ids).Accept(id)) is null;
                    Assert.True(taken == allowed.Contains(id), $"Token {id} behind {Encoding.UTF8.GetString([.. ids.SelectMany(vocabulary.BytesOf)])}");
                    id += random.Next(vocabulary.Tokenizer.VocabularySize / 64); // a sample
                }

                if (allowed.Count == 0)
                {
                    break;
                }

                ids.Add(allowed.ElementAt(random.Next(allowed.Count)));
            }
        }

        Distributed.Engine.Sampling.TokenConstraint After(List<int> ids)
        {
            var constraint = vocabulary.Compiler.JsonSchema(schema.RootElement);
            ids.ForEach(constraint.Accept);
            return constraint;
        }
    }
}
