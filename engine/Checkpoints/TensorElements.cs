using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Engine.Checkpoints;

/// <summary>Weights as float32, outside of the kernels: embedding rows, the weights of the norms, and what is quantised while loading.</summary>
internal static unsafe class TensorElements
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

    /// <summary>Elements of a vector from <paramref name="start"/>, widened; files may divide the vector.</summary>
    /// <param name="tensor">[element], with all that are asked for.</param>
    /// <param name="destination">As many as are wanted.</param>
    /// <param name="start">The first.</param>
    public static void ReadVector(StoredTensor tensor, Span<float> destination, int start)
    {
        var partCount = (int)tensor.Parts[0].Shape[0];
        var elementSize = StorageType.Of(tensor.Type).ItemByteCount;
        while (!destination.IsEmpty)
        {
            var (part, offset) = (start / partCount, start % partCount);
            var count = Math.Min(destination.Length, partCount - offset);
            Widen(tensor.Type, tensor.Parts[part].Data + (offset * elementSize), destination[..count]);
            destination = destination[count..];
            start += count;
        }
    }

    private static ushort ReadUInt16(nint source, int index) => Unsafe.ReadUnaligned<ushort>((ushort*)source + index);
}
