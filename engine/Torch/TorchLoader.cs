using System.Runtime.InteropServices;
using Distributed.Engine.Checkpoints;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>Copies rectangles of the mapped files to the device, through a piece of host memory of bounded size.</summary>
/// <param name="device">Where tensors go.</param>
internal sealed unsafe class TorchLoader(TorchDevice device)
{
    private const long MaxPieceByteCount = 64L << 20;

    /// <summary>A matrix of views that lie above each other, or side by side.</summary>
    /// <param name="views">All as wide, or all as high, and of one type.</param>
    /// <param name="areRows">Whether they lie above each other.</param>
    /// <returns>[row, column] of the device's weight type.</returns>
    public TorchLinear Matrix(IReadOnlyList<MatrixView> views, bool areRows)
    {
        var (rows, columns) = areRows
            ? (views.Sum(view => (long)view.RowCount), (long)views[0].ColumnCount)
            : (views[0].RowCount, views.Sum(view => (long)view.ColumnCount));
        var matrix = empty(rows, columns, dtype: device.WeightType, device: device.Device);
        long start = 0;
        foreach (var view in views)
        {
            using var place = areRows ? matrix.narrow(0, start, view.RowCount) : matrix.narrow(1, start, view.ColumnCount);
            Copy(view, place);
            start += areRows ? view.RowCount : view.ColumnCount;
        }

        return new TorchLinear(matrix, device);
    }

    /// <summary>A vector as float32: norms and biases.</summary>
    /// <param name="values">[element]</param>
    /// <param name="shape">Of the tensor.</param>
    public Tensor Vector(ReadOnlySpan<float> values, params long[] shape)
    {
        using var host = empty(shape, dtype: ScalarType.Float32);
        MemoryMarshal.AsBytes(values).CopyTo(host.bytes);
        var vector = empty(shape, dtype: ScalarType.Float32, device: device.Device);
        using var copied = vector.copy_(host);
        return vector;
    }

    /// <summary>A part of a stored vector, widened.</summary>
    public static float[] Read(StoredTensor tensor, int start, int count)
    {
        var values = new float[count];
        TensorElements.ReadVector(tensor, values, start);
        return values;
    }

    private static void Copy(MatrixView view, Tensor place)
    {
        var rowByteCount = (long)view.ColumnCount * StorageType.Of(view.Type).ItemByteCount;
        var pieceRows = (int)Math.Clamp(MaxPieceByteCount / rowByteCount, 1, view.RowCount);
        using var piece = empty(pieceRows, view.ColumnCount, dtype: TorchDevice.TypeOf(view.Type));
        for (var start = 0; start < view.RowCount; start += pieceRows)
        {
            var count = Math.Min(pieceRows, view.RowCount - start);
            var bytes = piece.bytes;
            for (var row = 0; row < count; row++)
            {
                new ReadOnlySpan<byte>((void*)(view.Data + ((start + row) * view.RowByteCount)), (int)rowByteCount).CopyTo(bytes[(int)(row * rowByteCount)..]);
            }

            using var filled = piece.narrow(0, 0, count);
            using var target = place.narrow(0, start, count);
            using var copied = target.copy_(filled);
        }
    }
}
