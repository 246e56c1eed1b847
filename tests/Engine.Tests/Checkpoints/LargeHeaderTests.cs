using System.Text;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>JSON as large as it may be, of many small values: at most 64 MiB and four times the file are allocated, garbage included.</summary>
public sealed class LargeHeaderTests
{
    [Theory]
    [InlineData(1 << 16, null)]
    [InlineData((1 << 16) + 1, "has more than 65536 tensors")]
    [InlineData(1_500_000, "has more than 65536 tensors")]
    public void Read_ManyTensorsWithoutElements_TakesBoundedMemory(int count, string? sentence)
    {
        var header = "{" + string.Join(',', Enumerable.Range(0, count).Select(number => $"\"{number}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}")) + "}";

        Within(SafetensorsBuilder.File(header, 0), sentence, (json, path) => SafetensorsIndex.Read(ShardFile.OfBytes(path, json)));
    }

    [Theory]
    [InlineData("{\"weight_map\":[", "1,", "1]}", "has no object weight_map")]
    [InlineData("{\"weight_map\":{", "\"#\":\"a.safetensors\",", "\"x\":\"b.safetensors\"}}", null)]
    [InlineData("{\"metadata\":{", "\"#\":0,", "\"x\":0},\"weight_map\":{\"w\":\"a.safetensors\"}}", null)]
    public void ReadMap_LargestIndex_TakesBoundedMemory(string begin, string part, string end, string? sentence)
        => Within(Repeat(begin, part, end, 2 << 20), sentence, (json, path) =>
        {
            using var document = CheckpointJson.Parse(json, path);
            HuggingFaceCheckpoint.ReadMap(document, path);
        });

    [Theory]
    [InlineData("{\"architectures\":[", "1,", "1]}", "which must be a list of texts")]
    [InlineData("{\"architectures\":[\"LlamaForCausalLM\"],", "\"#\":0,", "\"x\":0}", "lacks the key hidden_size")]
    public void Parse_LargestConfig_TakesBoundedMemory(string begin, string part, string end, string sentence)
        => Within(Repeat(begin, part, end, 1 << 20), sentence, (json, path) => HuggingFaceConfig.Parse(json, path));

    private static byte[] Repeat(string begin, string part, string end, int length)
    {
        var text = new StringBuilder(begin, length);
        for (var number = 0; text.Length + part.Length + end.Length + 8 < length; number++)
        {
            text.Append(part.Replace("#", $"{number}", StringComparison.Ordinal));
        }

        return Encoding.UTF8.GetBytes(text.Append(end).ToString());
    }

    private static void Within(byte[] file, string? sentence, Action<byte[], string> read)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        var error = Record.Exception(() => read(file, "file.json"));
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.InRange(allocated + file.Length, 0, (64L << 20) + (4L * file.Length)); // reading it allocates its bytes
        Assert.Equal(sentence is null, error is null);
        Assert.True(sentence is null || (error is CheckpointException && error.Message.Contains(sentence, StringComparison.Ordinal)), $"{error}");
    }
}
