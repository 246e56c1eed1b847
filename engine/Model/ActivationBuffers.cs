using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The memory that a step computes in, allocated once for the largest step; small steps touch little of it.</summary>
internal sealed unsafe class ActivationBuffers : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];

    public ActivationBuffers(LlamaConfig config, ShardPlan plan, LlamaWeights weights, int paddedHeadDimension, int maxTokensPerStep)
    {
        QueryKeyValueStride = (plan.Heads.Count + (2 * plan.KeyValueHeads.Count)) * config.HeadDimension;
        Hidden = Allocate(config.Dimension);
        Partial = Allocate(config.Dimension);
        Segments = Allocate(weights.MaxLevelCount * config.Dimension);
        Arranged = Allocate(weights.MaxPaddedLength);
        QueryKeyValue = Allocate(QueryKeyValueStride);
        Queries = Allocate(plan.Heads.Count * paddedHeadDimension);
        Attended = Allocate(plan.Heads.Count * config.HeadDimension);
        GateUp = Allocate(2 * plan.Hidden.Count);
        Rotations = Allocate(config.HeadDimension);

        float* Allocate(int width)
        {
            var buffer = new NativeBuffer((long)width * maxTokensPerStep);
            _buffers.Add(buffer);
            return buffer.Data;
        }
    }

    /// <summary>The residual stream of all tokens of the step: [token, dimension]. All other buffers hold what runs at once, a part of the step.</summary>
    public float* Hidden { get; }

    /// <summary>This rank's part of a sum over ranks, and scratch between sums: [token, dimension].</summary>
    public float* Partial { get; }

    /// <summary>Sums of segments that await their neighbours': [level, token, dimension].</summary>
    public float* Segments { get; }

    /// <summary>Inputs of a linear layer as its kernel reads them: [token, padded length of its layout].</summary>
    public float* Arranged { get; }

    /// <summary>[token, heads | key heads | value heads, head dimension]</summary>
    public float* QueryKeyValue { get; }

    /// <summary>Floats from one token's queries, keys and values to the next one's.</summary>
    public int QueryKeyValueStride { get; }

    /// <summary>Rotated queries: [token, head, padded head dimension].</summary>
    public float* Queries { get; }

    /// <summary>Output of the heads: [token, head, head dimension].</summary>
    public float* Attended { get; }

    /// <summary>[token, gate | up, hidden]</summary>
    public float* GateUp { get; }

    /// <summary>Cosines and sines of the tokens' positions: [token, pair, 2].</summary>
    public float* Rotations { get; }

    /// <summary>Bytes of all buffers.</summary>
    public long ByteCount => _buffers.Sum(buffer => buffer.ByteCount);

    public void Dispose() => _buffers.ForEach(buffer => buffer.Dispose());
}
