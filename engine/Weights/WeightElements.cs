using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Weights;

/// <summary>Single weights, where speed does not matter: embedding rows and the weights of the norms.</summary>
internal static unsafe class WeightElements
{
    /// <summary>Widens the elements at <paramref name="source"/>, of any alignment, to float32; exact for every value.</summary>
    public static void Widen(TensorType type, nint source, Span<float> destination)
    {
        var count = destination.Length;
        switch (type)
        {
            case TensorType.Float32:
                new ReadOnlySpan<byte>((void*)source, count * sizeof(float)).CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case TensorType.BFloat16:
                for (var i = 0; i < count; i++)
                {
                    destination[i] = BitConverter.UInt32BitsToSingle((uint)ReadUInt16(source, i) << 16);
                }

                break;
            default:
                for (var i = 0; i < count; i++)
                {
                    destination[i] = (float)BitConverter.UInt16BitsToHalf(ReadUInt16(source, i));
                }

                break;
        }
    }

    /// <summary>All elements of a vector, widened.</summary>
    /// <exception cref="CheckpointException">The tensor is no vector of this length.</exception>
    public static void ReadVector(MappedTensor tensor, Span<float> destination)
    {
        if (tensor.Shape.Length != 1 || tensor.Shape[0] != destination.Length)
        {
            throw new CheckpointException(
                $"Tensor {tensor.Name} is [{string.Join(", ", tensor.Shape)}] but the model needs [{destination.Length}]; " +
                "the checkpoint belongs to another model.");
        }

        Widen(tensor.Type, tensor.Data, destination);
    }

    private static ushort ReadUInt16(nint source, int index) => Unsafe.ReadUnaligned<ushort>((ushort*)source + index);
}
