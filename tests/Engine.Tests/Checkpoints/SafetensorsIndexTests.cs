using System.Numerics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class SafetensorsIndexTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_TensorsInAnyOrder_GivesTheirPlaces()
    {
        var header = $"{{\"__metadata__\":{{\"format\":\"pt\"}},{SafetensorsBuilder.Tensor("b", "BF16", "[2,3]", 16, 28)},"
            + $"{SafetensorsBuilder.Tensor("a", "F32", "[4]", 0, 16)},{SafetensorsBuilder.Tensor("empty", "F16", "[0]", 16, 16)}}}  ";

        var tensors = Read(SafetensorsBuilder.File(header, 28)).Tensors;

        Assert.Equal(3, tensors.Count);
        Assert.Equal((8 + header.Length, 16, "float32"), (tensors["a"].Offset, tensors["a"].ByteCount, tensors["a"].Type.Name));
        Assert.Equal((8 + header.Length + 16, 12, "bfloat16"), (tensors["b"].Offset, tensors["b"].ByteCount, tensors["b"].Type.Name));
        Assert.Equal([2L, 3], tensors["b"].Shape.ToArray());
        Assert.Equal(0, tensors["empty"].ByteCount);
    }

    public static TheoryData<string, int, string> Refusals => new()
    {
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 17, "its tensors end at" }, // something behind
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 15, "outside of the file" }, // cut
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]}}", 20, "where the one before it ends" }, // a hole
        {
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
            24,
            "where the one before it ends"
        }, // an overlap
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}", 16, "which is not [5] of float32" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "which is not" }, // overflows
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16, "numbers from 0" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", 16, "outside of the file" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "at most 8 numbers" },
        { "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "in F8_E4M3; save it again" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"strides\":[1]}}", 16, "the key 'strides'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, "without dtype, shape and two data_offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[16,16]}}", 16, "twice" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}} x", 16, "no valid JSON" },
        { "{\"a\":[[[[[[[[]]]]]]]]}", 0, "is no object" },
        { "{\"a\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "no valid JSON" },
        { "[1]", 0, "does not begin with '{'" },
        { "{", 0, "not 2 to 100000000" },
        { "{{", 0, "no valid JSON" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Read_WrongHeader_IsRefusedByName(string header, int dataByteCount, string sentence)
    {
        var error = Assert.Throws<CheckpointException>(() => Read(SafetensorsBuilder.File(header, dataByteCount)));

        Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(_folder["w.safetensors"], error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1000UL)]
    [InlineData(100_000_001UL)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 63)]
    public void Read_HeaderLengthThatIsNotThere_IsRefusedWithoutAllocatingIt(ulong byteCount)
    {
        var bytes = SafetensorsBuilder.File("{}", 64, byteCount);
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Throws<CheckpointException>(() => Read(bytes));

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);
    }

    /// <summary>Any shape and any offsets: accepted exactly where plain arithmetic without limits says that the bytes fit.</summary>
    [Fact]
    public void Read_RandomShapesAndOffsets_AgreesWithExactArithmetic()
    {
        var random = new Random(5);
        long[] interesting = [0, 1, 2, 3, 4, 7, 8, 16, 1L << 31, 1L << 32, (1L << 62) + 1, long.MaxValue];
        var accepted = 0;
        for (var i = 0; i < 600; i++)
        {
            var dataByteCount = random.Next(0, 65);
            long[] shape = random.Next(3) == 0
                ? [dataByteCount / 2, 1]
                : [.. Enumerable.Range(0, random.Next(0, 5)).Select(_ => Extent())];
            long begin = random.Next(4) == 0 ? Extent() : 0;
            long end = random.Next(4) == 0 ? Extent() : dataByteCount;
            var header = $"{{{SafetensorsBuilder.Tensor("t", "F16", $"[{string.Join(',', shape)}]", begin, end)}}}";
            var size = shape.Aggregate(new BigInteger(2), (product, extent) => product * extent);
            var fits = begin == 0 && end == dataByteCount && size == end;

            var error = Record.Exception(() => Read(SafetensorsBuilder.File(header, dataByteCount)));

            Assert.True(fits ? error is null : error is CheckpointException, $"{header} over {dataByteCount} bytes: {error}");
            accepted += fits ? 1 : 0;
        }

        Assert.InRange(accepted, 40, 400);

        long Extent() => random.Next(3) == 0 ? interesting[random.Next(interesting.Length)] : random.Next(0, 9);
    }

    /// <summary>Cut anywhere or with any bit of the header turned: refused in one sentence, or the same tensors under other names.</summary>
    [Fact]
    public void Read_CutOrMutated_IsRefusedOrStillWhole()
    {
        var file = System.IO.File.ReadAllBytes(
            Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "llama2-linear", "model-00001-of-00002.safetensors"));
        var header = BitConverter.ToInt32(file);
        var total = Read(file).Tensors.Values.Sum(tensor => tensor.ByteCount);
        var random = new Random(6);
        for (var i = 0; i < 600; i++)
        {
            var bytes = i % 3 == 0 ? file[..random.Next(file.Length)] : (byte[])file.Clone();
            if (i % 3 != 0)
            {
                bytes[random.Next(8 + header)] ^= (byte)(1 << random.Next(8));
            }

            try
            {
                Assert.Equal(total, Read(bytes).Tensors.Values.Sum(tensor => tensor.ByteCount));
            }
            catch (CheckpointException error)
            {
                Assert.DoesNotContain('\n', error.Message);
            }
        }
    }

    private SafetensorsIndex Read(byte[] bytes)
    {
        var path = _folder["w.safetensors"];
        System.IO.File.WriteAllBytes(path, bytes);
        using var file = ShardFile.Open(path);
        return SafetensorsIndex.Read(file);
    }
}
