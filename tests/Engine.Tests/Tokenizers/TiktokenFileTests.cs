using System.Text;
using Distributed.Engine.Generation;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

public sealed class TiktokenFileTests
{
    [Fact]
    public void Load_FileOfLlama3sShape_HasItsSpecialTokens()
    {
        var path = WriteFile(128_000);
        try
        {
            var tokenizer = Tokenizer.Load(path);

            Assert.Equal(128_256, tokenizer.VocabularySize);
            Assert.Equal((128_000, 128_001), (tokenizer.BosId, tokenizer.EosId));
            Assert.Equal(
                [128_006, 128_007, 128_008, 128_009],
                new[] { "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>" }.Select(tokenizer.SpecialId));
            Assert.Equal([128_000, 'a', 256, 128_001], tokenizer.Encode("a he", bos: true, eos: true));
            Assert.Equal("a he", tokenizer.Decode([128_000, 'a', 256, 128_009]));
            Assert.Equal([128_000, 128_006, .. "user"u8.ToArray().Select(value => (int)value), 128_007, '\n', '\n', 'h', 'i', 128_009, 128_006,
                .. "assistant"u8.ToArray().Select(value => (int)value), 128_007, '\n', '\n'],
                new Llama3ChatFormat().Encode([new ChatMessage("user", " hi\n")], tokenizer));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(127_999, "has 127999 tokens; of tiktoken's files only Llama 3's")]
    [InlineData(300, "has 300 tokens")]
    public void Load_OtherNumberOfTokens_IsRefused(int count, string sentence)
    {
        var path = WriteFile(count);
        try
        {
            Assert.Contains(sentence, Assert.Throws<TokenizerFormatException>(() => Tokenizer.Load(path)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("AA== 0\nAQ== 2\n", "line 2, is not a token")]
    [InlineData("AA== 0\n!!! 1\n", "line 2, is not a token")]
    [InlineData("AA== 0\nAQ==\n", "line 2, is not a token")]
    public void Load_DamagedLine_IsNamed(string text, string sentence)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, text);

            Assert.Contains(sentence, Assert.Throws<TokenizerFormatException>(() => Tokenizer.Load(path)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>
    /// The whole word is a token though no two of its parts together are one; and of several pairs the one of the lowest rank goes first.
    /// </summary>
    [Fact]
    public void Encode_WordThatMergesCannotReach_IsTakenWhole()
    {
        List<byte[]> ranked = [.. Enumerable.Range(0, 256).Select(value => (byte[])[(byte)value]), .. new[] { "bc", "ab", "abcd", "xyz" }.Select(Encoding.UTF8.GetBytes)];
        var tokenizer = TiktokenFile.Create("llama3", ranked);

        Assert.Equal([259], tokenizer.Encode("xyz", bos: false, eos: false));
        Assert.Equal([258], tokenizer.Encode("abcd", bos: false, eos: false));
        Assert.Equal(['a', 256], tokenizer.Encode("abc", bos: false, eos: false)); // bc before ab
        Assert.Equal(['a', 256, 'd', 'd'], tokenizer.Encode("abcdd", bos: false, eos: false));
    }

    // Bytes, then " he", then tokens that no text in these tests has.
    private static string WriteFile(int count)
    {
        var lines = Enumerable.Range(0, count).Select(rank =>
        {
            byte[] bytes = rank < 256 ? [(byte)rank] : rank == 256 ? [.. " he"u8] : [0xFF, .. BitConverter.GetBytes(rank)];
            return $"{Convert.ToBase64String(bytes)} {rank}";
        });
        var path = Path.GetTempFileName();
        File.WriteAllLines(path, lines);
        return path;
    }
}
