using System.Numerics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>Files with tensors: every tensor that is accepted lies within the file, with as many bytes as its shape and type say.</summary>
internal abstract class TensorFileTarget : FuzzTarget
{
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
