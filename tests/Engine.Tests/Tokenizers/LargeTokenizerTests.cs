using System.Globalization;
using System.Text;
using Distributed.Engine.Generation;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>Files as large as they may be, honest and hostile: at most 64 MiB and four times the file are allocated, garbage included.</summary>
public sealed class LargeTokenizerTests
{
    private const int Many = 1_000_000;

    // Of each token before, by one byte more: short names, so that there is little file for each of them.
    private const int Fan = 200;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Parse_AMillionTokensAndMerges_TakesBoundedMemory(bool mergesAreLists)
    {
        var names = Names(Many);
        var text = new StringBuilder("{\"added_tokens\": [{\"id\": 1000000, \"content\": \"<s>\", \"special\": true}], ")
            .Append("\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"model\": {\"type\": \"BPE\", \"merges\": [");
        for (var id = 256; id < Many; id++)
        {
            var (left, right) = Parts(id);
            text.Append(id == 256 ? "" : ",").Append(mergesAreLists ? "[\"" : "\"").Append(Escaped(names[left])).Append(mergesAreLists ? "\",\"" : " ")
                .Append(Escaped(names[right])).Append(mergesAreLists ? "\"]" : "\"");
        }

        text.Append("], \"vocab\": {");
        for (var id = 0; id < Many; id++)
        {
            text.Append(id == 0 ? "\"" : ",\"").Append(Escaped(names[id])).Append("\":").Append(id);
        }

        var tokenizer = Within(Encoding.UTF8.GetBytes(text.Append("}}}").ToString()));

        Assert.Equal(Many + 1, tokenizer.VocabularySize);
        Assert.Equal("\u0012\u001fy", tokenizer.Piece(777_777));
        Assert.Equal(Many, tokenizer.SpecialId("<s>"));
        Assert.Equal([19_754, 777_689], [.. tokenizer.Encode("ab", false, false), .. tokenizer.Encode("\u0012\u001f!", false, false)]);
    }

    [Fact]
    public void Parse_AMillionUnigramPieces_TakesBoundedMemory()
    {
        var root = TokenizerJsonBuilder.Unigram(
            SentencePieceModel.Parse(ModelBuilder.Unigram().Characters("ab").ToArray(), "tokenizer.model"),
            CharacterMapField.Of(Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "unigram", "nmt.model")),
            splitsAtWhitespace: true);
        var vocab = root["model"]!["vocab"]!.ToJsonString();
        var pieces = string.Concat(Enumerable.Range(0, Many).Select(number => string.Create(CultureInfo.InvariantCulture, $",[\"x{number:x}\",-{number % 100}]")));
        root["model"]!["vocab"] = "@place";

        var tokenizer = Within(Encoding.UTF8.GetBytes(root.ToJsonString().Replace("\"@place\"", vocab[..^1] + pieces + "]", StringComparison.Ordinal)));

        Assert.True(tokenizer.VocabularySize > Many);
        Assert.Equal("x3e7", tokenizer.Piece(tokenizer.VocabularySize - Many + 999));
    }

    [Fact]
    public void Parse_HalfAMillionAddedTokens_TakesBoundedMemory()
    {
        var root = TokenizerJsonBuilder.ByteLevel([]);
        root["added_tokens"] = "@place";
        var added = string.Join(',', Enumerable.Range(256, Many / 2).Select(id => string.Create(
            CultureInfo.InvariantCulture, $"{{\"id\":{id},\"content\":\"<{id}>\"{(id % 2 == 0 ? ",\"special\":true" : "")}}}")));

        var tokenizer = Within(Encoding.UTF8.GetBytes(root.ToJsonString().Replace("\"@place\"", $"[{added}]", StringComparison.Ordinal)));

        Assert.Equal(300_000, tokenizer.SpecialId("<300000>"));
        Assert.Equal([300_001], tokenizer.Encode("<300001>", bos: false, eos: false));
    }

    /// <summary>What is no vocabulary may be small only: as a document it would take many times its bytes.</summary>
    [Theory]
    [InlineData("normalizer", "has a normalizer of 20000003 bytes; beside vocabulary and merges it may have")]
    [InlineData("post_processor", "has a post_processor of 20000003 bytes")]
    [InlineData("model.unk_id", "has a unk_id of 20000003 bytes")]
    [InlineData("decoder", null)] // which nobody reads
    [InlineData("model.vocab", "has 10000001 entries in model.vocab; at most")]
    [InlineData("model.merges", "has 10000001 entries in model.merges; at most")]
    [InlineData("added_tokens", "has 10000001 entries in added_tokens; at most")]
    public void Parse_LongListOfNumbers_TakesBoundedMemory(string place, string? sentence)
    {
        var root = TokenizerJsonBuilder.ByteLevel([]);
        var keys = place.Split('.');
        (keys.Length == 1 ? root : root[keys[0]]!)[keys[^1]] = "@place";
        var numbers = $"[{new string('1', 20_000_001)}]".ToCharArray();
        for (var i = 2; i < numbers.Length - 1; i += 2)
        {
            numbers[i] = ',';
        }

        var json = Encoding.UTF8.GetBytes(root.ToJsonString().Replace("\"@place\"", new string(numbers), StringComparison.Ordinal));
        if (sentence is null)
        {
            Within(json);
        }
        else
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            var error = Assert.Throws<TokenizerFormatException>(() => TokenizerJson.Parse(json, "tokenizer.json"));
            RequireWithin(json.Length, before);
            Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Find_LargeTokenizerConfig_TakesBoundedMemory()
    {
        using var folder = new TemporaryFolder();
        var list = string.Concat(Enumerable.Repeat("1,", 7_000_000));
        File.WriteAllText(folder["tokenizer_config.json"], $"{{\"chat_template\": \"x\", \"eos_token\": \"</s>\", \"added_tokens_decoder\": [{list}1]}}");
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.NotNull(ChatTemplate.Find(folder["tokenizer.json"]));
        Assert.Equal("</s>", TokenizerConfig.Beside(folder["tokenizer.json"])!.EosToken());

        RequireWithin(2 * 14_000_000, before);
    }

    private static Tokenizer Within(byte[] json)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        var tokenizer = TokenizerJson.Parse(json, "tokenizer.json");
        RequireWithin(json.Length, before);
        return tokenizer;
    }

    // Reading the file allocates its bytes.
    private static void RequireWithin(long byteCount, long before)
        => Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before + byteCount, 0, (64L << 20) + (4 * byteCount));

    private static (int Left, int Right) Parts(int id) => ((id - 256) / Fan, (id - 256) % Fan);

    private static string[] Names(int count)
    {
        var names = new string[count];
        for (var id = 0; id < count; id++)
        {
            names[id] = id < 256 ? ByteAlphabet.Of((byte)id).ToString() : names[Parts(id).Left] + names[Parts(id).Right];
        }

        return names;
    }

    private static string Escaped(string name) => name.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal);
}
