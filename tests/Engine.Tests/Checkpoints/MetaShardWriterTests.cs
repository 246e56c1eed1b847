using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class MetaShardWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// A member larger than 4 GiB and one behind it, in a file that is nearly all hole: the Zip64 fields of both headers and the long
    /// integers of the pickle.
    /// </summary>
    [UnixFact]
    public void Write_TensorPast4GiB_ReadsBack()
    {
        const long Count = 2_200_000_000;
        var path = _folder["consolidated.00.pth"];
        MetaShardWriter.Write(
            path,
            [
                new("large", TensorType.Float16, [Count], (_, bytes) => bytes.Clear()),
                new("last", TensorType.Float32, [3], (offset, bytes) => TinyCheckpoint.Fill(offset, bytes, 5)),
            ],
            CancellationToken.None);

        using var file = ShardFile.Open(path);
        var index = ShardIndex.Read(file);

        Assert.Equal([Count], index.Tensors["large"].Shape.ToArray());
        Assert.Equal(Count * 2, index.Tensors["large"].ByteCount);
        Assert.True(index.Tensors["last"].Offset > 1L << 32);
        using var shard = new MappedShard(file, index);
        var expected = new byte[12];
        TinyCheckpoint.Fill(0, expected, 5);
        Assert.Equal(expected, Bytes(shard["last"], 12));
        Assert.Equal(0, shard["last"].Data % 64);
    }

    [Fact]
    public void Write_Tensors_AsksForEachByteOnceInOrder()
    {
        var asked = new List<(long Offset, int Count)>();
        MetaShardWriter.Write(
            _folder["consolidated.00.pth"],
            [new("w", TensorType.Float32, [1000, 700], (offset, bytes) => { asked.Add((offset, bytes.Length)); bytes.Clear(); })],
            CancellationToken.None);

        Assert.Equal(2_800_000, asked.Sum(part => part.Count));
        Assert.Equal(asked.Select((_, number) => asked.Take(number).Sum(part => (long)part.Count)), asked.Select(part => part.Offset));
        Assert.All(asked, part => Assert.InRange(part.Count, 1, 1 << 20));
    }

    [Fact]
    public void Write_CallbackThrowsOrCancelled_LeavesWhatWasThere()
    {
        var path = _folder["consolidated.00.pth"];
        File.WriteAllText(path, "before");
        using var cancellation = new CancellationTokenSource();
        ShardTensor failing = new("w", TensorType.Float32, [4], (_, _) => throw new InvalidOperationException("no weights"));
        ShardTensor cancelling = new("w", TensorType.Float32, [4], (_, _) => cancellation.Cancel());

        Assert.Throws<InvalidOperationException>(() => MetaShardWriter.Write(path, [failing], CancellationToken.None));
        Assert.Throws<OperationCanceledException>(() => MetaShardWriter.Write(path, [cancelling, failing], cancellation.Token));

        Assert.Equal("before", File.ReadAllText(path));
        Assert.Equal(path, Assert.Single(Directory.GetFiles(_folder.Path)));
    }

    [Fact]
    public void Write_EmptyExtent_IsRefused()
        => Assert.Throws<ArgumentException>(() => MetaShardWriter.Write(
            _folder["consolidated.00.pth"], [new("w", TensorType.Float32, [4, 0], (_, _) => { })], CancellationToken.None));

    private static byte[] Bytes(MappedTensor tensor, int count)
    {
        var bytes = new byte[count];
        System.Runtime.InteropServices.Marshal.Copy(tensor.Data, bytes, 0, count);
        return bytes;
    }
}
