using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Constraints;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>What cannot be enforced is refused by one sentence with its place; whatever comes, the work is bounded.</summary>
public sealed class SchemaLimitTests
{
    private static readonly ConstraintCompiler Compiler = new(PieceTokenizer.Json);

    [Theory]
    [InlineData("""{"properties":{"a":{"type":"array","uniqueItems":true}}}""", "The schema at #/properties/a uses 'uniqueItems', which cannot be enforced; remove it.")]
    [InlineData("""{"not":{}}""", "The schema at # uses 'not', which cannot be enforced; remove it.")]
    [InlineData("""{"patternProperties":{"^x":{}}}""", "'patternProperties'")]
    [InlineData("""{"if":{},"then":{}}""", "'if'")]
    [InlineData("""{"type":"number","multipleOf":0.5}""", "'multipleOf'")]
    [InlineData("""{"type":"text"}""", "'type' that is not one or some of")]
    [InlineData("""{"type":"string","format":"regex"}""", "the format 'regex', which cannot be enforced; remove it, or use one of date,")]
    [InlineData("""{"type":"string","minLength":-1}""", "'minLength' that is no whole number")]
    [InlineData("""{"type":"string","minLength":2,"maxLength":1}""", "least count that is above its greatest")]
    [InlineData("""{"items":[{"type":"string"}]}""", "The schema at #/items is no schema")]
    [InlineData("""{"$ref":"https://example.com/x"}""", "does not begin with #/")]
    [InlineData("""{"$ref":"#/$defs/x"}""", "'$ref' to what is not there")]
    [InlineData("""{"$ref":"#"}""", "refers to itself without a value between")]
    [InlineData("""{"anyOf":[{"type":"null"},{"$ref":"#"}]}""", "refers to itself without a value between")]
    [InlineData("""{"allOf":[{"$ref":"#"},{"type":"object"}]}""", "leads back to itself without a value between")]
    [InlineData("""{"type":"object","properties":{"x":{"$ref":"#"}},"required":["x"]}""", "cannot be satisfied by any value")]
    [InlineData("""{"type":"string","enum":[1,2]}""", "cannot be satisfied by any value")]
    [InlineData("""{"type":"integer","minimum":0.2,"maximum":0.8}""", "cannot be satisfied by any value")]
    [InlineData("""{"type":"string","pattern":"^a$","minLength":2}""", "cannot be satisfied by any value")]
    [InlineData("false", "cannot be satisfied by any value")]
    [InlineData("""{"oneOf":[{"type":"integer"},{"type":"number"}]}""", "'oneOf' whose branches 0 and 1 may hold together; use anyOf")]
    [InlineData("""{"enum":["a"],"minLength":1}""", "beside keywords other than 'type'")]
    [InlineData("""{"required":["a"],"additionalProperties":false}""", "requires a property that 'properties' does not have")]
    [InlineData("""{"allOf":[{"properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]}""", "combines 'additionalProperties'")]
    [InlineData("""{"type":"string","pattern":"(?=a)"}""", "The pattern at #/pattern has a group")]
    [InlineData("""{"type":"string","pattern":"(a|b)*a(a|b){40}"}""", "make it simpler")]
    [InlineData("\"x\"", "is no schema")]
    [InlineData("""{"properties":{"\ud800":{}}}""", "text that is no Unicode")]
    [InlineData("""{"enum":["\udc00x"]}""", "text that is no Unicode")]
    [InlineData("""{"a\nb":1,"a\nb":2}""", "'a?b'")]
    public void JsonSchema_WhatCannotBeEnforced_IsRefusedByOneSentence(string schema, string message)
    {
        using var document = JsonDocument.Parse(schema);

        var error = Assert.Throws<SchemaException>(() => Compiler.JsonSchema(document.RootElement));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void JsonSchema_TooLarge_IsRefused()
    {
        Refused(new JsonObject { ["description"] = new string('x', ConstraintCompiler.MaxSchemaLength) });
        Refused(new JsonObject { ["anyOf"] = new JsonArray([.. Enumerable.Range(0, 200).Select(i => new JsonObject { ["type"] = "object", ["required"] = new JsonArray($"p{i}") })]) });

        // Ten levels of two branches each, all of which must hold together: 2^10 combinations.
        Refused(new JsonObject { ["allOf"] = new JsonArray([.. Enumerable.Range(0, 10).Select(i => JsonNode.Parse($$"""{"anyOf":[{"required":["a{{i}}"]},{"required":["b{{i}}"]}]}"""))]) });

        // Each definition has the next one in both branches: 2^30 ways to the end.
        var definitions = new JsonObject { ["d30"] = new JsonObject { ["type"] = "null" } };
        for (var i = 0; i < 30; i++)
        {
            definitions[$"d{i}"] = JsonNode.Parse($$"""{"allOf":[{"$ref":"#/$defs/d{{i + 1}}"},{"anyOf":[{"$ref":"#/$defs/d{{i + 1}}"},{"$ref":"#/$defs/d{{i + 1}}"}]}]}""");
        }

        Refused(new JsonObject { ["$defs"] = definitions, ["$ref"] = "#/$defs/d0" });

        // A large schema that is looked at again and again.
        Refused(new JsonObject
        {
            ["$defs"] = new JsonObject { ["large"] = new JsonObject { ["properties"] = new JsonObject(Enumerable.Range(0, 1_000).Select(i => KeyValuePair.Create($"p{i}", (JsonNode?)new JsonObject()))) } },
            ["allOf"] = new JsonArray([.. Enumerable.Range(0, 500).Select(_ => JsonNode.Parse("""{"allOf":[{"$ref":"#/$defs/large"},{"type":"object"}]}"""))]),
        });

        static void Refused(JsonObject schema)
        {
            using var document = JsonDocument.Parse(schema.ToJsonString());
            var error = Assert.Throws<SchemaException>(() => Compiler.JsonSchema(document.RootElement));
            Assert.InRange(error.Message.Length, 10, 400);
        }
    }

    [Fact]
    public void JsonSchema_RandomSchemas_AreEnforcedOrRefused()
    {
        var vocabulary = Vocabulary.Of("pieces");
        var (enforced, refused) = (0, 0);
        for (var seed = 0; seed < 1_500; seed++)
        {
            var random = new Random(seed);
            using var document = JsonDocument.Parse(AnySchema(random, 0).ToJsonString());
            try
            {
                var constraint = vocabulary.Compiler.JsonSchema(document.RootElement);
                enforced++;
                if (vocabulary.Walk(constraint, random, most: 150) is { } text)
                {
                    using var value = JsonDocument.Parse(text);
                    Assert.True(new SchemaChecker(document.RootElement).IsValid(value.RootElement), $"{document.RootElement.GetRawText()} gave {text}");
                }
            }
            catch (SchemaException error)
            {
                refused++;
                Assert.InRange(error.Message.Length, 10, 600);
            }
        }

        Assert.True(enforced > 200 && refused > 100, $"{enforced} enforced, {refused} refused");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void JsonSchema_RandomBounds_AllowExactlyTheNumbersBetween(bool integers)
    {
        var vocabulary = Vocabulary.Of("pieces");
        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var (low, high) = (AnyNumber(random), AnyNumber(random));
            var schema = new JsonObject { ["type"] = integers ? "integer" : "number" };
            schema[random.Next(2) == 0 ? "minimum" : "exclusiveMinimum"] = low;
            if (random.Next(4) > 0)
            {
                schema[random.Next(2) == 0 ? "maximum" : "exclusiveMaximum"] = Math.Max(low, high) + 1;
            }

            using var document = JsonDocument.Parse(schema.ToJsonString());
            var checker = new SchemaChecker(document.RootElement);
            if (!TryCompile(document.RootElement))
            {
                continue; // no integer lies between
            }

            for (var i = 0; i < 60; i++)
            {
                var number = random.Next(3) switch { 0 => AnyNumber(random), 1 => low + (random.Next(-20, 20) / 10m), _ => high + (random.Next(-20, 30) / 10m) };
                number = integers ? Math.Truncate(number) : number;
                var text = number.ToString(CultureInfo.InvariantCulture);
                Assert.True(checker.IsValid(JsonDocument.Parse(text).RootElement) == vocabulary.Accepts(vocabulary.Compiler.JsonSchema(document.RootElement), text, random), $"{text} for {schema.ToJsonString()}");
            }
        }

        bool TryCompile(JsonElement schema) => Record.Exception(() => vocabulary.Compiler.JsonSchema(schema)) is null;

        static decimal AnyNumber(Random random) => random.Next(4) switch
        {
            0 => random.Next(-3, 4),
            1 => random.Next(-120, 120) / 10m,
            2 => random.Next(-100_000, 100_000) / 100m,
            _ => random.NextInt64(-1_000_000_000_000, 1_000_000_000_000) / 1000m,
        };
    }

    private static JsonObject AnySchema(Random random, int depth)
    {
        var schema = new JsonObject();
        if (random.Next(5) > 0)
        {
            schema["type"] = random.Next(6) == 0 ? new JsonArray("string", "null") : AnyOf("object", "array", "string", "integer", "number", "boolean", "null");
        }

        for (var count = random.Next(4); count > 0; count--)
        {
            var keyword = AnyOf("properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "enum", "const", "anyOf", "oneOf", "allOf", "$ref",
                "minLength", "maxLength", "pattern", "format", "minimum", "exclusiveMaximum");
            schema[keyword] = keyword switch
            {
                "properties" => new JsonObject { ["a"] = Child(), ["b\"é"] = Child() },
                "required" => new JsonArray(AnyOf("a", "c")),
                "additionalProperties" or "items" => random.Next(3) == 0 ? JsonValue.Create(random.Next(2) == 0) : Child(),
                "prefixItems" or "anyOf" or "oneOf" or "allOf" => new JsonArray(Child(), Child()),
                "enum" => new JsonArray("x", 1, null, true),
                "const" => "x",
                "$ref" => AnyOf("#", "#/properties/a", "#/items", "#/anyOf/0"),
                "pattern" => AnyOf("^[a-z]{1,3}$", "a", "^\\d+$", "(", "^x|y$"),
                "format" => AnyOf("date", "uuid", "email", "unknown"),
                "minimum" or "exclusiveMaximum" => random.Next(-20, 20) / 2m,
                _ => random.Next(6),
            };
        }

        return schema;

        JsonObject Child() => depth > 2 ? [] : AnySchema(random, depth + 1);

        string AnyOf(params string[] names) => names[random.Next(names.Length)];
    }
}
