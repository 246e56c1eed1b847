using System.Text.Json;
using Distributed.Engine.Sampling;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Constraints;

/// <summary>
/// Makes constraints for the answers of one model: with them every answer that ends is the JSON that was asked for, and no answer can come to where no
/// token may follow. Safe for use by several threads at once.
/// </summary>
public sealed class ConstraintCompiler
{
    /// <summary>The longest schema, in characters.</summary>
    public const int MaxSchemaLength = 64 * 1024;

    private const int MaxCachedCount = 8; // schemas whose machines are kept, with the masks that they know: at most 20 MB each

    private readonly TokenTrie _trie;
    private readonly bool _asciiOnly;
    private readonly Lazy<ConstraintMachine> _anyObject;
    private readonly Lock _turn = new();
    private readonly LinkedList<(string Schema, ConstraintMachine Machine)> _recent = new(); // the last used first

    /// <summary>Reads the vocabulary once.</summary>
    /// <exception cref="SchemaException">It cannot write JSON.</exception>
    public ConstraintCompiler(Tokenizer tokenizer)
    {
        _trie = new TokenTrie(tokenizer);
        if (!_trie.HasBytes((byte)' ', (byte)'~'))
        {
            throw new SchemaException($"The tokenizer ({tokenizer.Kind}) has no tokens for some of the characters of ASCII, so JSON cannot be enforced with this model.");
        }

        _asciiOnly = !_trie.HasBytes(0x80, 0xBF) || !_trie.HasBytes(0xC2, 0xF4);
        _anyObject = new Lazy<ConstraintMachine>(() => new ConstraintMachine(SchemaCompiler.CompileAnyObject(_asciiOnly), _trie));
    }

    /// <summary>A constraint for one answer that is any JSON object (OpenAI's <c>json_object</c>), 64 levels deep at the most.</summary>
    public TokenConstraint JsonObject() => new JsonConstraint(_anyObject.Value);

    /// <summary>A constraint for one answer that satisfies a JSON schema (OpenAI's <c>json_schema</c>).</summary>
    /// <param name="schema">The schema itself, of at most <see cref="MaxSchemaLength"/> characters.</param>
    /// <exception cref="SchemaException">It is damaged, too large, cannot be enforced, or nothing satisfies it.</exception>
    public TokenConstraint JsonSchema(JsonElement schema)
    {
        var text = TextOf(schema);
        if (text.Length > MaxSchemaLength)
        {
            throw new SchemaException($"The schema has {text.Length} characters; {MaxSchemaLength} are the most.");
        }

        return new JsonConstraint(Find(text) ?? Keep(text, new ConstraintMachine(SchemaCompiler.Compile(schema, _asciiOnly), _trie)));
    }

    // What is read later is read here once: names and strings are text, which JSON's escapes do not promise.
    private static string TextOf(JsonElement schema)
    {
        try
        {
            RequireText(schema);
            return schema.GetRawText();
        }
        catch (InvalidOperationException)
        {
            throw new SchemaException("The schema has text that is no Unicode, such as half of a surrogate pair; write it whole.");
        }
    }

    private static void RequireText(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.String)
        {
            _ = element.GetString();
        }
        else if (element.ValueKind == JsonValueKind.Array)
        {
            foreach (var item in element.EnumerateArray())
            {
                RequireText(item);
            }
        }
        else if (element.ValueKind == JsonValueKind.Object)
        {
            foreach (var property in element.EnumerateObject())
            {
                _ = property.Name;
                RequireText(property.Value);
            }
        }
    }

    private ConstraintMachine? Find(string text)
    {
        lock (_turn)
        {
            for (var entry = _recent.First; entry is not null; entry = entry.Next)
            {
                if (entry.Value.Schema == text)
                {
                    _recent.Remove(entry);
                    _recent.AddFirst(entry);
                    return entry.Value.Machine;
                }
            }

            return null;
        }
    }

    private ConstraintMachine Keep(string text, ConstraintMachine machine)
    {
        lock (_turn)
        {
            _recent.AddFirst((text, machine));
            if (_recent.Count > MaxCachedCount)
            {
                _recent.RemoveLast();
            }

            return machine;
        }
    }
}
