using System.Numerics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>Files with tensors: every tensor that is accepted lies within the file, with as many bytes as its shape and type say.</summary>
internal abstract class TensorFileTarget : FuzzTarget
{
    // Every eighth input is a file, which is mapped too if it is accepted; the others are read where they are.
    public override bool NeedsFile(byte[] input) => input.Sum(value => value) % 8 == 0;

    private protected ShardFile Open(byte[] input, string path) => NeedsFile(input) ? ShardFile.Open(path) : ShardFile.OfBytes(path, input);

    public override bool IsRefusal(Exception exception) => exception is CheckpointException;

    private protected static void Check(ShardFile file, IEnumerable<TensorEntry> tensors)
    {
        var buffer = new byte[4096];
        foreach (var tensor in tensors)
        {
            var size = tensor.Shape.Aggregate(new BigInteger(tensor.Type.ItemByteCount), (product, extent) => product * extent);
            Require(tensor.Shape.All(extent => extent >= 0) && size == tensor.ByteCount, "a tensor has as many bytes as its shape and type say");
            Require(tensor.Offset >= 0 && (BigInteger)tensor.Offset + tensor.ByteCount <= file.ByteCount, "a tensor lies within its file");
            for (long done = 0; done < tensor.ByteCount; done += buffer.Length)
            {
                file.Read(tensor.Offset + done, buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.ByteCount - done)));
            }
        }
    }
}
