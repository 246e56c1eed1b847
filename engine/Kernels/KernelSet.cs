using System.Runtime.Intrinsics.Arm;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Kernels;

/// <summary>
/// All kernels for one implementation of the lanes. The choice is made once, here; above it nobody knows of vector widths, and tests
/// run whole models on each set.
/// </summary>
internal abstract unsafe class KernelSet
{
    /// <summary>Every set that this machine runs, the widest first.</summary>
    public static IReadOnlyList<KernelSet> Supported { get; } = FindSupported();

    /// <summary>The widest set that this machine runs.</summary>
    public static KernelSet Best => Supported[0];

    /// <summary>One or two words for the user.</summary>
    public abstract string Name { get; }

    /// <inheritdoc cref="LinearKernel.Multiply"/>
    public abstract void MultiplyFloat32(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <inheritdoc cref="LinearKernel.Multiply"/>
    public abstract void MultiplyBFloat16(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <inheritdoc cref="LinearKernel.Multiply"/>
    public abstract void MultiplyFloat16(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <summary>Products of bfloat16 weights with activations that are rounded to bfloat16.</summary>
    public abstract BFloat16Products BFloat16Products { get; }

    /// <inheritdoc cref="QuantizedKernel.Multiply"/>
    public abstract void MultiplyInt8(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <inheritdoc cref="QuantizedKernel.Multiply"/>
    public abstract void MultiplyInt4(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <inheritdoc cref="ElementwiseKernel.RmsNorm"/>
    public abstract void RmsNorm(float* x, float* weight, float* y, int length, float epsilon);

    /// <inheritdoc cref="ElementwiseKernel.SwiGlu"/>
    public abstract void SwiGlu(float* gate, float* up, float* y, int length);

    /// <inheritdoc cref="ElementwiseKernel.Add"/>
    public abstract void Add(float* x, float* y, int length);

    /// <inheritdoc cref="ElementwiseKernel.IsFinite"/>
    public abstract bool IsFinite(float* x, int length);

    /// <inheritdoc cref="AttentionKernel.Attend"/>
    public abstract void Attend(in AttentionOperands operands);

    /// <inheritdoc cref="LogitsKernel.Summarize"/>
    public abstract LogitsGroup Summarize(float* logits, int length, float temperature);

    /// <inheritdoc cref="LogitsKernel.Probabilities"/>
    public abstract void Probabilities(float* logits, float* y, int length, float temperature, float maximum, float sum);

    private static KernelSet[] FindSupported()
    {
        var sets = new List<KernelSet>();
        if (QuantizedCode.IsSupported)
        {
            const string Emitted = "AVX-512 with emitted VNNI";
            sets.Add(VnniDot.IsSupported ? new KernelSet<Lanes512, VnniDot>(Emitted, emits: true) : new KernelSet<Lanes512, Avx512Dot>(Emitted, emits: true));
        }

        Add<Lanes512, VnniDot>("AVX-512 with VNNI");
        Add<Lanes256, VnniDot>("AVX2 with VNNI");
        Add<Lanes512, Avx512Dot>("AVX-512");
        Add<Lanes256, Avx2Dot>("AVX2");
        Add<Lanes128, ArmDot>("NEON");
        Add<Lanes128, ScalarDot>(AdvSimd.IsSupported ? "NEON without dot products" : "128-bit");
        Add<ScalarLanes, ScalarDot>("scalar");
        return [.. sets];

        void Add<TLanes, TDot>(string name)
            where TLanes : unmanaged, ILanes<TLanes>
            where TDot : struct, IQuantizedDot
        {
            if (TLanes.IsSupported && TDot.IsSupported)
            {
                sets.Add(new KernelSet<TLanes, TDot>(name));
            }
        }
    }
}

/// <summary>The kernels of <typeparamref name="TLanes"/>, and of <typeparamref name="TDot"/> for quantised weights.</summary>
/// <param name="name">One or two words for the user.</param>
/// <param name="emits">Whether several tokens meet quantised weights by emitted code.</param>
internal sealed unsafe class KernelSet<TLanes, TDot>(string name, bool emits = false) : KernelSet
    where TLanes : unmanaged, ILanes<TLanes>
    where TDot : struct, IQuantizedDot
{
    public override string Name => name;

    // Emitted when it is first asked for, as below.
    private QuantizedCode? Code => emits ? QuantizedCode.Shared : null;

    // Emitted when it is first asked for, which few programs do.
    public override BFloat16Products BFloat16Products
        => typeof(TLanes) == typeof(Lanes512) && EmittedBFloat16Products.Shared is { } emitted ? emitted : FusedBFloat16Products<TLanes>.Shared;

    public override void MultiplyFloat32(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => LinearKernel.Multiply<TLanes, Float32Format>(weights, inputs, outputs, rowStart, rowEnd);

    public override void MultiplyBFloat16(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => LinearKernel.Multiply<TLanes, BFloat16Format>(weights, inputs, outputs, rowStart, rowEnd);

    public override void MultiplyFloat16(
        in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => LinearKernel.Multiply<TLanes, Float16Format>(weights, inputs, outputs, rowStart, rowEnd);

    public override void MultiplyInt8(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => QuantizedKernel.Multiply<TDot, Int8Format>(Code, weights, inputs, outputs, rowStart, rowEnd);

    public override void MultiplyInt4(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => QuantizedKernel.Multiply<TDot, Int4Format>(Code, weights, inputs, outputs, rowStart, rowEnd);

    public override void RmsNorm(float* x, float* weight, float* y, int length, float epsilon)
        => ElementwiseKernel.RmsNorm<TLanes>(x, weight, y, length, epsilon);

    public override void SwiGlu(float* gate, float* up, float* y, int length)
        => ElementwiseKernel.SwiGlu<TLanes>(gate, up, y, length);

    public override void Add(float* x, float* y, int length) => ElementwiseKernel.Add<TLanes>(x, y, length);

    public override bool IsFinite(float* x, int length) => ElementwiseKernel.IsFinite<TLanes>(x, length);

    public override void Attend(in AttentionOperands operands) => AttentionKernel.Attend<TLanes>(operands);

    public override LogitsGroup Summarize(float* logits, int length, float temperature)
        => LogitsKernel.Summarize<TLanes>(logits, length, temperature);

    public override void Probabilities(float* logits, float* y, int length, float temperature, float maximum, float sum)
        => LogitsKernel.Probabilities<TLanes>(logits, y, length, temperature, maximum, sum);
}
