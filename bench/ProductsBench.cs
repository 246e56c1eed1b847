using System.Collections.Immutable;
using System.Diagnostics;
using Distributed.Collectives.Hosting;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Bench;

/// <summary>
/// Matrix products alone, for some numbers of tokens: rows of one length that lie in memory one after the other, as those of a layer do, walked so that they
/// come from memory every time, or so few that they stay in the second-level cache. Each number of tokens beside a read-sum and a peak of multiply-adds of the
/// same round.
/// </summary>
internal static unsafe class ProductsBench
{
    private const long MemoryByteCount = 512L << 20;

    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "tokens", "columns", "groups", "weights", "threads", "rounds", "kernels", "rows", "hot", "precision");
        var threads = options.Number("threads", Environment.ProcessorCount);
        var columns = options.Number("columns", 2048);
        var groups = options.Number("groups", 1);
        var rounds = options.Number("rounds", 7);
        var rows = options.Number("rows", 5632);
        var type = options.Text("weights", "bf16");
        var precision = options.Precision();
        var kernels = KernelSet.Supported.FirstOrDefault(set => set.Name == options.Text("kernels", set.Name))
            ?? throw new ArgumentException($"--kernels is not one of {string.Join(", ", KernelSet.Supported.Select(set => set.Name))}.");
        var matrixByteCount = (long)rows * columns * sizeof(float);
        using var memory = new BenchMemory(options.Number("hot", 0) != 0 ? matrixByteCount : Math.Max(MemoryByteCount, matrixByteCount));
        using var pool = new ComputePool(threads, firstProcessor: 0);
        ProcessorBinding.TryBind(0);
        using var matrices = new MatrixSet(memory, type, rows, columns, groups, precision, kernels, pool);
        using var stream = new BenchMemory(MemoryByteCount);
        new Span<byte>(stream.Data, (int)stream.ByteCount).Fill(1);
        Console.WriteLine(
            $"{type}, {matrices.Layers.Length} matrices of {rows} x {columns}, {matrices.ByteCount / 1e6:F1} MB, {threads} thread(s), {kernels.Name}, {PeakProbe.Name(precision, kernels)}");
        ReportLoops(pool);
        foreach (var tokens in options.Numbers("tokens", "1,2,3,4,6,8,12,16"))
        {
            Report(matrices, pool, stream, precision, rows, columns, tokens, rounds);
        }

        return 0;
    }

    // What a loop costs that does nothing: the hand-over to the threads and back.
    private static void ReportLoops(ComputePool pool)
    {
        const int Count = 20_000;
        var best = double.MaxValue;
        for (var round = 0; round < 5; round++)
        {
            var start = Stopwatch.GetTimestamp();
            for (var loop = 0; loop < Count; loop++)
            {
                pool.For(64, 1, static (_, _) => { });
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalMicroseconds / Count);
        }

        Console.WriteLine($"an empty loop takes {best:F2} us");
    }

    private static void Report(MatrixSet matrices, ComputePool pool, BenchMemory stream, MatmulPrecision precision, int rows, int columns, int tokens, int rounds)
    {
        var layout = matrices.Layers[0].InputLayout;
        using var source = new NativeBuffer(columns);
        using var inputs = new NativeBuffer((long)tokens * layout.PaddedLength);
        using var outputs = new NativeBuffer((long)tokens * rows);
        for (var token = 0; token < tokens; token++)
        {
            for (var k = 0; k < columns; k++)
            {
                source.Data[k] = MathF.Sin((token * 31) + k);
            }

            layout.Arrange(source.Data, inputs.Data + ((long)token * layout.PaddedLength));
        }

        var passes = Math.Max(1, (int)(MemoryByteCount / matrices.ByteCount));
        var samples = new List<(double Seconds, double Bandwidth, double Peak)>();
        for (var round = 0; round <= rounds; round++)
        {
            var bandwidth = ReadBandwidthProbe.Measure(pool, stream.Data, stream.ByteCount);
            var peak = PeakProbe.Measure(pool, precision);
            var start = Stopwatch.GetTimestamp();
            for (var pass = 0; pass < passes; pass++)
            {
                foreach (var layer in matrices.Layers)
                {
                    layer.Multiply(inputs.Data, tokens, outputs.Data, rows);
                }
            }

            if (round > 0)
            {
                samples.Add((Stopwatch.GetElapsedTime(start).TotalSeconds / passes, bandwidth, peak));
            }
        }

        var elements = (double)matrices.Layers.Length * rows * columns;
        Console.WriteLine(
            $"{tokens,3} tokens: {Median(samples, s => matrices.ByteCount / s.Seconds / 1e9),6:F1} GB/s {Median(samples, s => matrices.ByteCount / s.Seconds / 1e9 / s.Bandwidth),5:P0} of the read-sum, " +
            $"{Median(samples, s => 2 * elements * tokens / s.Seconds / 1e9),6:F0} GFLOP/s (best {samples.Max(s => 2 * elements * tokens / s.Seconds / 1e9 / s.Peak):P0}) {Median(samples, s => 2 * elements * tokens / s.Seconds / 1e9 / s.Peak),5:P0} of the peak " +
            $"({Median(samples, s => s.Bandwidth):F1} GB/s, {Median(samples, s => s.Peak):F0} GFLOP/s)");
    }

    private static double Median<T>(List<T> samples, Func<T, double> value)
    {
        var sorted = samples.Select(value).Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    /// <summary>As many matrices of one shape as the memory has room for; quantised ones have memory of their own.</summary>
    private sealed class MatrixSet : IDisposable
    {
        private readonly WeightMatrix[] _matrices;

        public MatrixSet(BenchMemory memory, string type, int rows, int columns, int groups, MatmulPrecision precision, KernelSet kernels, ComputePool pool)
        {
            var (stored, bytes) = type switch
            {
                "fp32" => (TensorType.Float32, 4.0),
                "bf16" => (TensorType.BFloat16, 2.0),
                "fp16" => (TensorType.Float16, 2.0),
                "int8" => (TensorType.BFloat16, 1.0625),
                "int4" => (TensorType.BFloat16, 0.5625),
                _ => throw new ArgumentException($"--weights {type} is not one of fp32, bf16, fp16, int8 and int4."),
            };
            var size = stored == TensorType.Float32 ? 4 : 2;
            var words = (ulong*)memory.Data;
            for (long i = 0; i < memory.ByteCount / sizeof(ulong); i++)
            {
                // Magnitudes near 2^-6 whose lowest bits change from element to element.
                words[i] = size == sizeof(float)
                    ? 0x3C8123453C876543ul ^ (((ulong)i & 0xFFFF) << 7)
                    : 0x3C813C853C823C87ul ^ ((ulong)(i * 77) & 0x0070_0070_0070_0070);
            }

            var count = memory.ByteCount < MemoryByteCount ? 1 : Math.Max(1, (int)(memory.ByteCount / (rows * columns * bytes)));
            _matrices = new WeightMatrix[count];
            var stride = (long)rows * columns * size;
            for (var i = 0; i < count; i++)
            {
                var place = memory.Data + (i % Math.Max(1, memory.ByteCount / stride) * stride); // what is quantised is copied: it may be the same again
                ImmutableArray<long> shape = [rows, columns];
                var tensor = new StoredTensor("w", stored, shape, TensorSplit.Replicated, [new MappedTensor("w", stored, shape, (nint)place)]);
                var view = tensor.Rows(0, rows).Single();
                _matrices[i] = type switch
                {
                    "int8" => new Int8Matrix(view, groups, pool),
                    "int4" => new Int4Matrix(view, groups, pool),
                    _ => WeightMatrix.Create(view, groups, precision == MatmulPrecision.Medium ? kernels.BFloat16Products : null),
                };
            }

            Layers = [.. _matrices.Select(matrix => new LinearLayer(kernels, pool, matrix))];
            ByteCount = Layers.Sum(layer => layer.ByteCount);
        }

        public LinearLayer[] Layers { get; }

        public long ByteCount { get; }

        public void Dispose()
        {
            foreach (var matrix in _matrices)
            {
                matrix.Dispose();
            }
        }
    }
}
