using System.Buffers;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>Rows of float32 between the device and one piece of host memory, which is page-locked for a GPU.</summary>
internal sealed class TorchTransfer : IDisposable
{
    private readonly TorchDevice _device;
    private readonly Tensor _host; // [row, width]
    private readonly int _width;

    /// <param name="device">The device.</param>
    /// <param name="rowCount">Rows at most.</param>
    /// <param name="width">Of a row.</param>
    public TorchTransfer(TorchDevice device, int rowCount, int width)
    {
        (_device, _width) = (device, width);
        var host = zeros(rowCount, width, dtype: ScalarType.Float32);
        if (device.IsHost)
        {
            _host = host;
            return;
        }

        using (host)
        {
            _host = host.pin_memory();
        }
    }

    /// <summary>Bytes of the host memory.</summary>
    public long ByteCount => _host.NumberOfElements * sizeof(float);

    /// <summary>The host memory: [row, width].</summary>
    public Span<float> Rows(int count) => Floats(_host)[..(count * _width)];

    /// <summary>Copies rows to the device.</summary>
    /// <param name="target">[row, width]; the caller writes to <see cref="Rows"/> again only after a download.</param>
    public void Upload(Tensor target)
    {
        using var rows = _host.narrow(0, 0, target.shape[0]);
        using var copied = target.copy_(rows, nonBlocking: true);
    }

    /// <summary>Copies rows from the device and waits for them.</summary>
    /// <param name="source">[row, width] float32.</param>
    public Span<float> Download(Tensor source)
    {
        using var rows = _host.narrow(0, 0, source.shape[0]);
        using var copied = rows.copy_(source);
        return Rows((int)source.shape[0]);
    }

    /// <summary>Lets a function of host memory change rows on the device.</summary>
    /// <param name="rows">[row, width] float32, contiguous.</param>
    /// <param name="state">Given to it.</param>
    /// <param name="change">Changes them.</param>
    public void Change<T>(Tensor rows, T state, SpanAction<float, T> change)
    {
        if (_device.IsHost)
        {
            change(Floats(rows), state);
            return;
        }

        change(Download(rows), state);
        Upload(rows);
    }

    public void Dispose() => _host.Dispose();

    private static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
