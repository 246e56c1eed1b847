namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>The numbers of a tensor in its pickle, from torch's variety to an attacker's.</summary>
public sealed class TensorMetadataTests : IDisposable
{
    private static readonly long[] Extremes =
        [0, 1, -1, 2, 5, 7, 24, int.MaxValue, 1L << 31, uint.MaxValue, 1L << 32, 1L << 61, (1L << 62) + 6, long.MaxValue - 1,
            long.MaxValue, long.MinValue];

    private readonly ShardProbe _probe = new();

    public void Dispose() => _probe.Dispose();

    /// <summary>Each number of the tensor [2, 3] over a storage of 6 with every extreme: refused, for not one of them is right.</summary>
    [Fact]
    public void Read_AnyNumberExtreme_IsRefused()
    {
        (string What, long Right, Func<long, byte[]> Pickle)[] numbers =
        [
            ("element count", 6, value => PickleAssembler.OneTensor(elementCount: value)),
            ("offset", 0, value => PickleAssembler.OneTensor(offset: value)),
            ("outer extent", 2, value => PickleAssembler.OneTensor(shape: [value, 3])),
            ("inner extent", 3, value => PickleAssembler.OneTensor(shape: [2, value])),
            ("both extents", -9, value => PickleAssembler.OneTensor(shape: [value, value])),
            ("outer stride", 3, value => PickleAssembler.OneTensor(strides: [value, 1])),
            ("inner stride", 1, value => PickleAssembler.OneTensor(strides: [3, value])),
        ];
        foreach (var (what, right, pickle) in numbers)
        {
            foreach (var value in Extremes.Where(value => value != right))
            {
                // A smaller view at the start of the storage is a view too.
                var (tensors, refusal) = Read(pickle(value));
                Assert.True(refusal is not null || (what, value) is ("outer extent" or "both extents", 1),
                    $"{what} = {value}: {tensors?["w"]}");
            }
        }

        Assert.True(_probe.Count > 100);
    }

    [Theory]
    [InlineData(new long[] { }, new long[] { }, 5, "050")]
    [InlineData(new long[] { 6 }, new long[] { 1 }, 0, "000102")]
    [InlineData(new long[] { 3 }, new long[] { 1 }, 3, "0C0D0E")]
    [InlineData(new long[] { 1, 6, 1 }, new long[] { 99, 1, -7 }, 0, "000102")]
    [InlineData(new long[] { 1, 1 }, new long[] { 0, 0 }, 5, "141516")]
    public void Read_ContiguousViews_GiveTheirElements(long[] shape, long[] strides, long offset, string begin)
    {
        var (tensors, refusal) = Read(PickleAssembler.OneTensor(6, offset, shape, strides));

        Assert.Null(refusal);
        var text = Assert.Single(tensors!).Value;
        Assert.Contains(shape.Length == 0 ? "float32 [] 14151617" : $" {begin}", text, StringComparison.Ordinal);
        Assert.Equal(8L * shape.Aggregate(1L, (count, extent) => count * extent), text.Split(' ')[^1].Length);
    }

    [Theory]
    [InlineData(new long[] { 3, 2 }, new long[] { 1, 3 }, "is not contiguous (shape [3, 2], strides [1, 3]); call .contiguous()")]
    [InlineData(new long[] { 2, 3 }, new long[] { 0, 1 }, "is not contiguous")]
    [InlineData(new long[] { 2, 3 }, new long[] { -3, 1 }, "is not contiguous")]
    [InlineData(new long[] { 2, 3 }, new long[] { 3 }, "has 2 extents but 1 strides")]
    [InlineData(new long[] { 0, 3 }, new long[] { 3, 1 }, "has the extent 0 in [0, 3]")]
    [InlineData(new long[] { 7 }, new long[] { 1 }, "[7] is larger than its storage of 6 elements")]
    [InlineData(new long[] { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, new long[] { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, "calls RebuildTensorV2 with other arguments")]
    public void Read_OtherViews_AreNamed(long[] shape, long[] strides, string expected)
        => _probe.Refused(ContainerBuilder.OneTensor(PickleAssembler.OneTensor(6, 0, shape, strides)).Build(), expected);

    /// <summary>Meta's sharded files have one storage for several tensors of a layer.</summary>
    [Fact]
    public void Read_SharedStorage_GivesEachTensorItsPart()
    {
        var (tensors, refusal) = Read(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('(')
            .Text("first").Tensor(6, 0, [2], [1]).Text("second").Tensor(6, 2, [2, 2], [2, 1]).Text("all").Tensor(6, 0, [6], [1]).Raw('u')));

        Assert.Null(refusal);
        Assert.Equal("float32 [2] 0001020304050607", tensors!["first"]);
        Assert.Equal("float32 [2, 2] 08090A0B0C0D0E0F1011121314151617", tensors["second"]);
        Assert.Equal(3, tensors.Count);
    }

    [Fact]
    public void Read_OneStorageDescribedTwice_IsRefused()
    {
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('(')
            .Text("a").Tensor(6, 0, [6], [1]).Text("b").Tensor(12, 0, [6], [1], "HalfStorage").Raw('u')),
                "describes the storage of tensor 'b' in two ways");
        Refused(PickleAssembler.Whole(pickle => pickle.Raw('}').Raw('(')
            .Text("a").Tensor(12, 0, [6], [1], "HalfStorage").Text("b").Tensor(12, 0, [6], [1], "BFloat16Storage").Raw('u')),
                "describes the storage of tensor 'b' in two ways");
    }

    [Fact]
    public void Read_StorageKeyTooLong_IsRefused()
        => Refused(PickleAssembler.OneTensor(key: new string('0', 60_000)), "whose key has 60000 characters");

    [Theory]
    [InlineData("../0")]
    [InlineData("/etc/passwd")]
    [InlineData("1")]
    [InlineData("")]
    [InlineData("0/")]
    public void Read_StorageThatIsNotThere_IsRefused(string key)
        => Refused(PickleAssembler.OneTensor(key: key), $"has no storage 'data/{key}' for tensor 'w'");

    [Theory]
    [InlineData("DoubleStorage", 3, "float64")]
    [InlineData("LongStorage", 3, "int64")]
    [InlineData("IntStorage", 6, "int32")]
    [InlineData("ByteStorage", 24, "uint8")]
    [InlineData("BFloat16Storage", 12, "bfloat16")]
    [InlineData("HalfStorage", 12, "float16")]
    public void Read_OtherTypes_AreSizedRight(string storageClass, long elementCount, string name)
    {
        var (tensors, refusal) = Read(PickleAssembler.OneTensor(elementCount, 0, [elementCount], [1], storageClass));

        Assert.Null(refusal);
        Assert.StartsWith($"{name} [{elementCount}] 000102030405", tensors!["w"], StringComparison.Ordinal);
        Refused(PickleAssembler.OneTensor(elementCount + 1, 0, [1], [1], storageClass), "has 24 bytes for tensor 'w', whose storage has");
        Refused(PickleAssembler.OneTensor(elementCount - 1, 0, [1], [1], storageClass), "has 24 bytes for tensor 'w', whose storage has");
    }

    /// <summary>
    /// nn.Parameter values, an OrderedDict with _metadata and _rebuild_tensor_v2 with its seventh argument: what state_dict() of a module
    /// has.
    /// </summary>
    [Fact]
    public void Read_StateDictOfAModule_GivesItsTensors()
    {
        var (tensors, refusal) = Read(PickleAssembler.Whole(pickle => OrderedDict(pickle).Raw('(').Text("w")
            .Global("torch._utils", "_rebuild_parameter").Raw('(').Tensor(6, 0, [6], [1]).Raw(0x88).Part(OrderedDict).Raw('t').Raw('R')
                .Raw('u')
            .Raw('}').Text("_metadata").Part(OrderedDict).Text("").Raw('}').Text("version").Raw('K', 1).Raw('s').Raw('s').Raw('s')
                .Raw('b')));

        Assert.Null(refusal);
        Assert.StartsWith("float32 [6] 0001", Assert.Single(tensors!).Value, StringComparison.Ordinal);

        static PickleAssembler OrderedDict(PickleAssembler pickle) => pickle.Global("collections", "OrderedDict").Raw(')').Raw('R');
    }

    private (SortedDictionary<string, string>? Tensors, string? Refusal) Read(byte[] pickle)
        => _probe.Read(ContainerBuilder.OneTensor(pickle).Build());

    private void Refused(byte[] pickle, string expected) => _probe.Refused(ContainerBuilder.OneTensor(pickle).Build(), expected);
}
