using System.Runtime.InteropServices;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

/// <summary>Inputs of the kernel tests.</summary>
internal static unsafe class KernelData
{
    /// <summary>Names of the sets that this machine runs, for theories.</summary>
    public static TheoryData<string> Sets => [.. KernelSet.Supported.Select(set => set.Name)];

    public static KernelSet Set(string name) => KernelSet.Supported.Single(set => set.Name == name);

    /// <summary>Numbers of both signs and many magnitudes, some of them zero.</summary>
    public static float[] Random(int seed, int count, double magnitude = 2)
    {
        var random = new Random(seed);
        return
        [
            .. Enumerable.Range(0, count).Select(_ => random.Next(20) == 0
                ? 0f
                : (float)((random.NextDouble() - 0.5) * Math.Pow(2, (random.NextDouble() - 0.5) * 2 * magnitude))),
        ];
    }

    /// <summary>A copy in native memory, followed by NaN, which no result may depend on.</summary>
    public static NativeBuffer Native(ReadOnlySpan<float> values, int guard = 64)
    {
        var buffer = new NativeBuffer(values.Length + guard);
        var copy = new Span<float>(buffer.Data, values.Length + guard);
        copy.Fill(float.NaN);
        values.CopyTo(copy);
        return buffer;
    }

    /// <summary>Bytes in native memory, followed by the bits of NaN in every format.</summary>
    public static NativeBuffer Native(ReadOnlySpan<byte> bytes)
    {
        var buffer = new NativeBuffer((bytes.Length / sizeof(float)) + 65);
        var copy = new Span<byte>(buffer.Data, (int)buffer.ByteCount);
        copy.Fill(0xFF);
        bytes.CopyTo(copy);
        return buffer;
    }

    public static float[] ToArray(NativeBuffer buffer, int count) => new ReadOnlySpan<float>(buffer.Data, count).ToArray();

    /// <summary>Bits, so that -0 and +0 differ and NaN equals itself.</summary>
    public static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
