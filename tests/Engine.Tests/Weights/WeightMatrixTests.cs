using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Tests.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Weights;

public sealed unsafe class WeightMatrixTests
{
    [Fact]
    public void ReadVector_PartsInSeveralFiles_ReadsAcrossThem()
    {
        using var memory = KernelData.Native([0f, 1, 2, 3, 4, 5]);
        MappedTensor Part(int first) => new("wq.bias", TensorType.Float32, [2], (nint)(memory.Data + first));
        var tensor = new StoredTensor("wq.bias", TensorType.Float32, [6], TensorSplit.Rows, [Part(0), Part(2), Part(4)]);
        var values = new float[4];

        TensorElements.ReadVector(tensor, values, start: 1);

        Assert.Equal([1f, 2, 3, 4], values);
    }

    /// <summary>Tensors share storages at any offset, so nothing may assume that elements are aligned.</summary>
    [Theory]
    [InlineData(TensorType.Float32, 4)]
    [InlineData(TensorType.BFloat16, 2)]
    [InlineData(TensorType.Float16, 2)]
    public void ReadRow_UnalignedTensor_WidensExactly(TensorType type, int elementSize)
    {
        float[] values = [1f, -2f, 0.5f, 0f, -0f, 1.5f, 6.103515625e-05f, -3f];
        using var memory = KernelData.Native(new byte[64]);
        var data = (nint)memory.Data + 1;
        for (var i = 0; i < values.Length; i++)
        {
            var bits = BitConverter.GetBytes(values[i]);
            byte[] bytes = type switch
            {
                TensorType.Float32 => bits,
                TensorType.BFloat16 => bits[2..],
                _ => BitConverter.GetBytes((Half)values[i]),
            };
            bytes.CopyTo(new Span<byte>((void*)(data + (i * elementSize)), elementSize));
        }

        var table = new EmbeddingTable(
            new StoredTensor("w", type, [2, 4], TensorSplit.Replicated, [new MappedTensor("w", type, [2, 4], data)]));
        var rows = new float[2][] { new float[4], new float[4] };
        table.ReadRow(0, rows[0]);
        table.ReadRow(1, rows[1]);

        Assert.Equal(KernelData.Bits(values), KernelData.Bits([.. rows[0], .. rows[1]]));
    }

    /// <summary>Three matrices in one loop, cut anywhere by the threads: the rows of each land behind those of the one before.</summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 1)]
    [InlineData(4, 6)]
    public void Multiply_SeveralMatrices_GivesAllRowsInOrder(int threadCount, int tokenCount)
    {
        const int Columns = 512;
        int[] rowCounts = [150, 37, 37];
        using var pool = new ComputePool(threadCount);
        var weights = rowCounts.Select((rows, i) => KernelData.Random(i, rows * Columns)).ToArray();
        var native = weights.Select(values => KernelData.Native(values)).ToArray();
        var layer = new LinearLayer(
            KernelSet.Best,
            pool,
            [.. rowCounts.Select((rows, i) => WeightMatrix.Create(
                new MatrixView("w", TensorType.Float32, (nint)native[i].Data, Columns * sizeof(float), rows, Columns)))]);
        var inputs = KernelData.Random(9, tokenCount * Columns);
        using var x = KernelData.Native(inputs);
        using var y = KernelData.Native([], guard: tokenCount * 224);

        layer.Multiply(x.Data, tokenCount, y.Data, layer.RowCount);

        Assert.Equal(224, layer.RowCount);
        var actual = KernelData.ToArray(y, tokenCount * 224);
        for (var token = 0; token < tokenCount; token++)
        {
            var row = 0;
            foreach (var (values, rows) in weights.Zip(rowCounts))
            {
                for (var r = 0; r < rows; r++, row++)
                {
                    var expected = Oracle.Dot(values.AsSpan(r * Columns, Columns), inputs.AsSpan(token * Columns, Columns), paired: false);
                    Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(actual[(token * 224) + row]));
                }
            }
        }

        Array.ForEach(native, buffer => buffer.Dispose());
    }
}
