using System.Numerics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Constraints;
using Distributed.Engine.Tokenizers;

namespace Distributed.Fuzz;

/// <summary>JSON schemas of requests: under what is accepted no text comes to a dead end, and one that ends is JSON.</summary>
internal sealed class SchemaTarget : FuzzTarget
{
    private static readonly string[] Schemas =
    [
        """
        {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}, "kind": {"enum": ["a", "b", 1, null]},
         "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,5}(-\\d+)?$"}, "minItems": 1, "maxItems": 3}}, "required": ["name", "age"], "additionalProperties": {"type": "number"}}
        """,
        """
        {"$defs": {"node": {"type": "object", "properties": {"value": {"type": "number", "exclusiveMinimum": -1.5, "maximum": 7e3}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
         "required": ["value", "next"]}}, "allOf": [{"$ref": "#/$defs/node"}, {"properties": {"when": {"type": "string", "format": "date-time"}}}]}
        """,
        """
        {"oneOf": [{"type": "object", "properties": {"t": {"const": "x"}, "v": {"type": ["integer", "null"]}}, "required": ["t"]},
         {"type": "object", "properties": {"t": {"const": "y"}, "v": {"type": "array", "prefixItems": [{"type": "boolean"}], "items": false}}, "required": ["t", "v"]}]}
        """,
    ];

    private readonly Tokenizer _tokenizer = Tokenizer.Load(Path.Combine(Tests.Repository.DemoCheckpoint, "tokenizer.model"));
    private readonly ConstraintCompiler _compiler;

    public SchemaTarget() => _compiler = new ConstraintCompiler(_tokenizer);

    public override string Name => "schema";

    public override string FileName => "schema.json";

    public override byte[] Make(Random random) => JsonMutator.Mutate(random, JsonNode.Parse(Schemas[random.Next(Schemas.Length)])!);

    public override bool IsRefusal(Exception exception) => exception is SchemaException;

    public override void Read(byte[] input, string path)
    {
        if (TryParse(input) is not { } schema)
        {
            return; // the request's body would have been refused
        }

        var constraint = _compiler.JsonSchema(schema);
        var random = new Random(input.Length);
        var text = new List<byte>();
        var most = 1 << random.Next(2, 7); // few texts are long
        for (var count = 0; count < most; count++)
        {
            var mask = constraint.AllowedTokens();
            var allowed = Count(mask);
            Require(allowed > 0 || constraint.CanEnd, "no dead ends");
            if (constraint.CanEnd && (allowed == 0 || random.Next(3) == 0))
            {
                Require(TryParse([.. text]) is not null, "what ends is JSON");
                return;
            }

            var tokenId = Find(mask, random.Next(allowed));
            text.AddRange(_tokenizer.Utf8Of(tokenId));
            constraint.Accept(tokenId);
        }
    }

    private static JsonElement? TryParse(byte[] bytes)
    {
        try
        {
            using var document = JsonDocument.Parse(bytes);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static int Count(ReadOnlySpan<ulong> mask)
    {
        var count = 0;
        foreach (var word in mask)
        {
            count += BitOperations.PopCount(word);
        }

        return count;
    }

    // The token of the bit that has so many set ones before it.
    private static int Find(ReadOnlySpan<ulong> mask, int before)
    {
        for (var word = 0; ; word++)
        {
            var count = BitOperations.PopCount(mask[word]);
            if (before >= count)
            {
                before -= count;
                continue;
            }

            var bits = mask[word];
            for (; before > 0; before--)
            {
                bits &= bits - 1;
            }

            return (word * 64) + BitOperations.TrailingZeroCount(bits);
        }
    }
}
