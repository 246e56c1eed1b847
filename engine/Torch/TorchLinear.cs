using Distributed.Engine.Model;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>A matrix W [row, column] on the device, and y = W x for many x at once, with float32 outside.</summary>
/// <remarks>
/// Devices multiply 16 bits by 16 bits, add in float32 and round the sum to 16 bits; libtorch gives nothing wider. With <see cref="TorchPrecision.High"/>
/// an input is the sum of two numbers, x = h + l, and so is the result: y1 = W h as it is rounded, then, in one second product that starts from -y1, what
/// y1 lacks of W h, and W l. The three parts have the bits of float32 but for the last few. (Sums of two bfloat16 numbers: Henry, Tang and
/// Heinecke, arXiv:1904.06376.)
/// </remarks>
internal sealed class TorchLinear : IDisposable
{
    private readonly Tensor _weight;
    private readonly Tensor _transposed; // a view
    private readonly TorchDevice _device;

    /// <param name="weight">[row, column], owned from now on.</param>
    /// <param name="device">Where it is, and how precise it has to be.</param>
    public TorchLinear(Tensor weight, TorchDevice device)
    {
        (_weight, _device) = (weight, device);
        _transposed = weight.t();
    }

    /// <summary>Bytes of the matrix.</summary>
    public long ByteCount => _weight.NumberOfElements * _weight.ElementSize;

    /// <summary>The products of all inputs.</summary>
    /// <param name="input">[token, column] float32.</param>
    /// <returns>[token, row] float32.</returns>
    public Tensor Multiply(Tensor input)
    {
        if (_device.WeightType == ScalarType.Float32)
        {
            // A product of matrices with one row takes OpenBLAS four times as long as one of a matrix and a vector.
            return _device.IsHost && input.shape[0] == 1 ? _weight.mv(input.select(0, 0)).unsqueeze(0) : input.mm(_transposed);
        }

        var high = input.to_type(_device.WeightType);
        var first = high.mm(_transposed);
        return _device.Precision == TorchPrecision.High ? Complete(input, high, first) : first.to_type(ScalarType.Float32);
    }

    /// <summary>Some rows of the matrix.</summary>
    /// <param name="rows">[n] int64.</param>
    /// <returns>[n, column] float32.</returns>
    public Tensor Rows(Tensor rows) => _weight.index_select(0, rows).to_type(ScalarType.Float32);

    public void Dispose()
    {
        _transposed.Dispose();
        _weight.Dispose();
    }

    // first + (W high - first) + W low
    private Tensor Complete(Tensor input, Tensor high, Tensor first)
    {
        var count = input.shape[0];
        var low = input.sub(high).to_type(_device.WeightType);
        var rest = cat(new[] { first.neg(), zeros_like(first) }, 0).addmm(cat(new[] { high, low }, 0), _transposed).to_type(ScalarType.Float32);
        return rest.narrow(0, 0, count).add(rest.narrow(0, count, count)).add(first);
    }
}
