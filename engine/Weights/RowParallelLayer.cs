using System.Numerics;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// A layer whose inputs the ranks divide among them, wo and w2 (fairscale's RowParallelLinear): this rank's columns of W, of whose product
/// an all-reduce makes the layer's output.
/// </summary>
/// <remarks>
/// Where the columns lie in several files, each has a <em>segment</em> of them: W = [W0 | W1 | ...], and the segments' products are added by
/// a binary tree of neighbours. Files are cut between canonical groups, so this is the tree that the groups have in one file, and a
/// segment is used in place like any other weights.
/// </remarks>
internal sealed unsafe class RowParallelLayer
{
    private readonly KernelSet _kernels;
    private readonly ComputePool _pool;
    private readonly WeightMatrix[] _segments;
    private readonly RangeBody _multiplyRows;
    private readonly int _rowCount;
    private readonly long _rowByteCount;
    private float* _inputs; // [token, segment, its padded length]
    private float* _outputs; // [token, row]
    private float* _scratch; // [level, token, row]
    private int _tokenCount;

    /// <param name="kernels">Multiply.</param>
    /// <param name="pool">Runs the loop.</param>
    /// <param name="tensor">The whole matrix.</param>
    /// <param name="start">This rank's first column.</param>
    /// <param name="count">This rank's columns; with none its product is zero.</param>
    /// <param name="groupCount">Canonical groups of these columns.</param>
    /// <param name="create">Makes the matrix of a view with its groups.</param>
    public RowParallelLayer(
        KernelSet kernels, ComputePool pool, StoredTensor tensor, int start, int count, int groupCount, Func<MatrixView, int, WeightMatrix> create)
    {
        _kernels = kernels;
        _pool = pool;
        _multiplyRows = MultiplyRows;
        _rowCount = (int)tensor.Shape[0];
        _segments = [.. tensor.Columns(start, count, groupCount).Select(view => create(view, GroupsOf(view.ColumnCount)))];
        PaddedLength = _segments.Sum(segment => segment.InputLayout.PaddedLength);
        ByteCount = _segments.Sum(segment => segment.ByteCount);
        _rowByteCount = Math.Max(1, ByteCount / _rowCount);

        // A segment that cuts through groups, as other world sizes make them, is a group of its own.
        int GroupsOf(int columns)
        {
            var length = count / groupCount;
            return columns % length == 0 && BitOperations.IsPow2(columns / length) ? columns / length : 1;
        }
    }

    /// <summary>Floats of a token's arranged inputs.</summary>
    public int PaddedLength { get; }

    /// <summary>Bytes of the weights.</summary>
    public long ByteCount { get; }

    /// <summary>Levels of the tree over the segments: 0 where all columns lie in one file.</summary>
    public int LevelCount => _segments.Length < 2 ? 0 : BitOperations.Log2((uint)_segments.Length - 1) + 1;

    /// <summary>Writes a token's inputs as <see cref="Multiply"/> reads them.</summary>
    /// <param name="source">[column], this rank's.</param>
    /// <param name="destination">[PaddedLength]</param>
    public void Arrange(float* source, float* destination)
    {
        foreach (var segment in _segments)
        {
            segment.InputLayout.Arrange(source, destination);
            source += segment.ColumnCount;
            destination += segment.InputLayout.PaddedLength;
        }
    }

    /// <summary>Computes every output of every token.</summary>
    /// <param name="inputs">[token, PaddedLength]</param>
    /// <param name="tokenCount">Tokens.</param>
    /// <param name="outputs">[token, row]</param>
    /// <param name="scratch">[LevelCount, token, row]</param>
    public void Multiply(float* inputs, int tokenCount, float* outputs, float* scratch)
    {
        if (_segments.Length == 0)
        {
            // Not +0, which would turn another rank's -0 into +0: the sum with nothing is what was there.
            new Span<float>(outputs, tokenCount * _rowCount).Fill(-0f);
            return;
        }

        _inputs = inputs;
        _tokenCount = tokenCount;
        _outputs = outputs;
        _scratch = scratch;
        _pool.For(_rowCount, LinearLayer.Grain(_rowByteCount, tokenCount), _multiplyRows);
    }

    private void MultiplyRows(int start, int end) => Sum(0, _segments.Length, _inputs, _outputs, _scratch, start, end);

    // The tree: the greatest power of two of segments on the left, the rest on the right.
    private void Sum(int first, int count, float* inputs, float* outputs, float* scratch, int start, int end)
    {
        if (count == 1)
        {
            _segments[first].Multiply(
                _kernels, new LinearInputs((nint)inputs, PaddedLength, _tokenCount), new LinearOutputs((nint)outputs, _rowCount), start, end);
            return;
        }

        var left = 1 << BitOperations.Log2((uint)count - 1);
        var deeper = scratch + ((nint)_tokenCount * _rowCount);
        Sum(first, left, inputs, outputs, deeper, start, end);
        for (var segment = first; segment < first + left; segment++)
        {
            inputs += _segments[segment].InputLayout.PaddedLength;
        }

        Sum(first + left, count - left, inputs, scratch, deeper, start, end);
        for (var token = 0; token < _tokenCount; token++)
        {
            var offset = ((nint)token * _rowCount) + start;
            _kernels.Add(outputs + offset, scratch + offset, end - start);
        }
    }
}
