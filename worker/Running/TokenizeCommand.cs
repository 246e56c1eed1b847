using System.Text;
using System.Text.Json;
using Distributed.Engine.Tokenizers;
using Distributed.Worker.Options;
using Distributed.Worker.Output;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Running;

/// <summary>
/// Turns JSON lines, <c>{"text": ...}</c> or <c>{"tokens": [...]}</c>, into lines <c>{"text": ..., "tokens": [...], "pieces": [...]}</c>.
/// </summary>
internal sealed class TokenizeCommand
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _bos;

    private TokenizeCommand(Tokenizer tokenizer, bool bos) => (_tokenizer, _bos) = (tokenizer, bos);

    /// <summary>Loads the tokenizer that the command line names.</summary>
    /// <exception cref="BadInputException">The command line, or the tokenizer, cannot be used.</exception>
    public static TokenizeCommand Create(CommandLine line)
    {
        var reader = new OptionReader(line.Values, line.Problems);
        var bos = reader.Flag(OptionCatalog.Bos);
        var tokenizer = Preparation.TryLoadTokenizer(reader.Required(OptionCatalog.TokenizerPath, "name a tokenizer.model or tokenizer.json"), line.Problems);
        return line.Problems.Count == 0 ? new TokenizeCommand(tokenizer!, bos) : throw new BadInputException(line.Problems);
    }

    /// <summary>Reads lines to the end and answers each.</summary>
    /// <exception cref="BadInputException">A line is neither of the two; those before it have been answered.</exception>
    public void Run(Stream input, Stream output)
    {
        using var lines = new StreamReader(input, Encoding.UTF8);
        using var buffered = new BufferedStream(output, 1 << 16);
        using var json = new Utf8JsonWriter(buffered);
        for (var number = 1; lines.ReadLine() is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            var (text, tokens) = Read(line) ?? throw new BadInputException(
            [
                $"standard input, line {number}, is neither {{\"text\": \"...\"}} nor {{\"tokens\": [...]}} with ids from 0 to "
                + $"{_tokenizer.VocabularySize - 1}.",
            ]);
            Write(json, text, tokens);
            json.Flush();
            json.Reset();
            buffered.WriteByte((byte)'\n');
        }
    }

    private (string Text, int[] Tokens)? Read(string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                return null;
            }

            if (root.TryGetProperty("text", out var given) && UserText.FromJson(given) is { } text)
            {
                return (text, _tokenizer.Encode(text, _bos, eos: false));
            }

            return root.TryGetProperty("tokens", out var tokens) && Ids(tokens, _tokenizer.VocabularySize) is { } ids
                ? (_tokenizer.Decode(ids), ids)
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static int[]? Ids(JsonElement tokens, int vocabularySize)
    {
        if (tokens.ValueKind != JsonValueKind.Array)
        {
            return null;
        }

        var ids = new List<int>();
        foreach (var token in tokens.EnumerateArray())
        {
            if (token.ValueKind != JsonValueKind.Number || !token.TryGetInt32(out var id) || id < 0 || id >= vocabularySize)
            {
                return null;
            }

            ids.Add(id);
        }

        return [.. ids];
    }

    private void Write(Utf8JsonWriter json, string text, int[] tokens)
    {
        json.WriteStartObject();
        json.WritePlain("text", text);
        json.WriteStartArray("tokens");
        foreach (var token in tokens)
        {
            json.WriteNumberValue(token);
        }

        json.WriteEndArray();
        json.WriteStartArray("pieces");
        foreach (var token in tokens)
        {
            json.WritePlainValue(_tokenizer.Piece(token));
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
