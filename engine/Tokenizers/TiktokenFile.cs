using System.Buffers;
using System.Buffers.Text;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Llama 3's tokenizer.model: a line for each token, its bytes in base64 and its rank (openai/tiktoken, load.py), to which Meta's code adds
/// 256 special tokens (meta-llama/llama-models, llama3/tokenizer.py).
/// </summary>
internal static class TiktokenFile
{
    private const int MaxByteCount = 16 << 20;
    private const int TokenCount = 128_000;
    private const int SpecialCount = 256;
    private const int MaxTokenByteCount = 1024;

    // By their ids, which all versions agree on; the others are reserved under names that differ.
    private static readonly Dictionary<int, string> SpecialNames = new()
    {
        [0] = "<|begin_of_text|>",
        [1] = "<|end_of_text|>",
        [4] = "<|finetune_right_pad_id|>",
        [6] = "<|start_header_id|>",
        [7] = "<|end_header_id|>",
        [8] = "<|eom_id|>",
        [9] = "<|eot_id|>",
        [10] = "<|python_tag|>",
    };

    /// <summary>Whether a file begins like one.</summary>
    public static bool IsOne(string path)
    {
        try
        {
            Span<byte> start = stackalloc byte[64];
            using var file = File.OpenRead(path);
            start = start[..file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
            var line = Encoding.ASCII.GetString(start).Split('\n')[0].Split(' ');
            return line is [{ Length: > 0 } base64, { Length: > 0 } rank]
                && rank.TrimEnd('\r').All(char.IsAsciiDigit)
                && TryDecode(base64) is not null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false; // whoever reads it says so
        }
    }

    /// <exception cref="TokenizerFormatException">The file is damaged or no tokenizer of Llama 3.</exception>
    public static Tokenizer Load(string path)
    {
        var tokens = new List<byte[]>(TokenCount);
        try
        {
            if (new FileInfo(path).Length is > MaxByteCount and var length)
            {
                throw new TokenizerFormatException($"{path} has {length} bytes; a tokenizer.model of Llama 3 has at most {MaxByteCount}.");
            }

            ReadOnlySpan<byte> text = File.ReadAllBytes(path);
            while (!text.IsEmpty && tokens.Count <= TokenCount)
            {
                var end = text.IndexOf((byte)'\n');
                var line = end < 0 ? text : text[..end];
                text = text[(end < 0 ? text.Length : end + 1)..];
                line = line.EndsWith("\r"u8) ? line[..^1] : line;
                if (!line.IsEmpty)
                {
                    tokens.Add(Parse(line, tokens.Count, path));
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerFormatException($"{path} cannot be read: {error.Message}", error);
        }

        return tokens.Count == TokenCount
            ? Create(path, tokens)
            : throw new TokenizerFormatException($"{path} has {(tokens.Count > TokenCount ? "more than 128000" : tokens.Count)} tokens; of tiktoken's files only Llama 3's with {TokenCount} can be read.");
    }

    /// <summary>A tokenizer of these tokens, ranked as they follow each other, and the special ones behind them.</summary>
    internal static Tokenizer Create(string path, IReadOnlyList<byte[]> ranked)
    {
        var tokens = new TokenList(ranked.Count + SpecialCount, ranked.Sum(bytes => bytes.Length) + (SpecialCount * 64));
        var table = new PieceTable(ranked.Count, tokens.Memory);
        foreach (var (id, bytes) in ranked.Index())
        {
            tokens.Set(id, TokenKind.Normal, bytes);
            table.TryAdd(id);
        }

        for (var number = 0; number < SpecialCount; number++)
        {
            tokens.Set(ranked.Count + number, TokenKind.Special, Encoding.UTF8.GetBytes(SpecialNames.GetValueOrDefault(number) ?? Reserved(number)));
        }

        return new BytePairTokenizer(new BytePairModel
        {
            Path = path,
            Tokens = tokens,
            Merges = new RankedTokens(table),
            ByteIds = ByteIds(path, table),
            IsByteLevel = true,
            Split = WordSplit.Llama3,
            TakesWholeWords = true,
            BosId = ranked.Count,
            EosId = ranked.Count + 1,
        });
    }

    private static string Reserved(int number) => string.Create(CultureInfo.InvariantCulture, $"<|reserved_special_token_at_{number}|>");

    private static ImmutableArray<int> ByteIds(string path, PieceTable table)
        =>
        [
            .. Enumerable.Range(0, 256).Select(value => table.TryFind([(byte)value], out var id)
                ? id
                : throw new TokenizerFormatException($"{path} has no token for the byte {value}; download it again.")),
        ];

    private static byte[] Parse(ReadOnlySpan<byte> line, int rank, string path)
    {
        var space = line.IndexOf((byte)' ');
        Span<byte> bytes = stackalloc byte[MaxTokenByteCount];
        return space > 0
            && int.TryParse(line[(space + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var found)
            && found == rank
            && Base64.DecodeFromUtf8(line[..space], bytes, out _, out var count) == OperationStatus.Done
            && count > 0
                ? bytes[..count].ToArray()
                : throw new TokenizerFormatException($"{path}, line {rank + 1}, is not a token in base64 and the rank {rank}; download it again.");
    }

    private static byte[]? TryDecode(string base64)
    {
        var bytes = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, bytes, out var count) ? bytes[..count] : null;
    }
}
