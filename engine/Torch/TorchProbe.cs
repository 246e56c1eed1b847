using System.Diagnostics;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>The device's own limit, for whoever measures the backend against it.</summary>
internal static class TorchProbe
{
    private const long ElementCount = 128L << 20; // 512 MiB, beyond any cache
    private const int RoundCount = 5;

    /// <summary>How fast a sum reads the device's memory: the best of some rounds, in GB/s.</summary>
    /// <param name="options">The device.</param>
    /// <param name="threadCount">Threads of libtorch.</param>
    public static double MeasureReadBandwidth(TorchOptions options, int threadCount)
    {
        var device = TorchDevice.Open(options, TensorType.Float32, threadCount);
        using var gradients = no_grad();
        using var scope = NewDisposeScope();
        var values = zeros(ElementCount, dtype: ScalarType.Float32, device: device.Device);
        var best = 0.0;
        for (var round = 0; round <= RoundCount; round++)
        {
            // The sum comes to the host, so that the time is that of the whole.
            var start = Stopwatch.GetTimestamp();
            _ = values.sum().cpu();
            best = Math.Max(best, ElementCount * sizeof(float) / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        }

        return best;
    }
}
