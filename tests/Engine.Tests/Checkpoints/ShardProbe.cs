using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>
/// Offers bytes to the reader as a shard and checks what holds for every input: it is read, or refused by a
/// <see cref="CheckpointException"/> of one sentence that names the file; nothing else is thrown, and memory stays within 64 MiB and
/// four times the input.
/// </summary>
internal sealed class ShardProbe : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public int Count { get; private set; }

    private string Path => _folder["consolidated.00.pth"];

    public void Dispose() => _folder.Dispose();

    /// <summary>What each tensor is and holds, or the message of the refusal.</summary>
    public (SortedDictionary<string, string>? Tensors, string? Refusal) Read(ReadOnlySpan<byte> bytes)
    {
        Count++;
        using (var stream = new FileStream(Path, FileMode.OpenOrCreate, FileAccess.Write))
        {
            // Written over, not truncated first: some file systems flush a file that is emptied and rewritten.
            stream.Write(bytes);
            stream.SetLength(bytes.Length);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            using var file = ShardFile.Open(Path);
            var index = ShardIndex.Read(file);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (64L << 20) + (4L * bytes.Length));
            return (Describe(file, index), null);
        }
        catch (CheckpointException error)
        {
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (64L << 20) + (4L * bytes.Length));
            Assert.StartsWith(Path + " ", error.Message, StringComparison.Ordinal);
            Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(error.Message, char.IsControl);
            Assert.InRange(error.Message.Length, Path.Length + 10, Path.Length + 1500);
            return (null, error.Message);
        }
    }

    /// <summary>Fails unless the bytes are refused, with a message that has <paramref name="expected"/> in it.</summary>
    public void Refused(ReadOnlySpan<byte> bytes, string expected)
    {
        var (_, refusal) = Read(bytes);
        Assert.True(refusal is not null, $"Read, not refused: {expected}");
        Assert.Contains(expected, refusal, StringComparison.Ordinal);
    }

    private static SortedDictionary<string, string> Describe(ShardFile file, ShardIndex index)
    {
        var tensors = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var tensor in index.Tensors.Values)
        {
            var bytes = new byte[tensor.ByteCount];
            file.Read(tensor.Offset, bytes);
            tensors.Add(tensor.Name, $"{tensor.Type.Name} {TensorLayout.Format(tensor.Shape.AsSpan())} {Convert.ToHexString(bytes)}");
        }

        return tensors;
    }
}
