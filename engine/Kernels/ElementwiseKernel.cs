using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>What happens to one token's activations between the linear layers.</summary>
internal static unsafe class ElementwiseKernel
{
    /// <summary>y = x / sqrt(mean(x^2) + epsilon) * weight. The sum of squares is a canonical dot product.</summary>
    /// <param name="x">[length]</param>
    /// <param name="weight">[length]</param>
    /// <param name="y">[length], may be <paramref name="x"/>.</param>
    /// <param name="length">Elements.</param>
    /// <param name="epsilon">Keeps the root from zero.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RmsNorm<TLanes>(float* x, float* weight, float* y, int length, float epsilon)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = length & ~15;
        var rest = length - whole;
        var sum = TLanes.Create(0);
        for (var i = 0; i < whole; i += 16)
        {
            var value = TLanes.Load(x + i);
            sum = TLanes.FusedMultiplyAdd(value, value, sum);
        }

        if (rest > 0)
        {
            var value = LaneOperations.Load<TLanes>(x + whole, rest, 0);
            sum = TLanes.FusedMultiplyAdd(value, value, sum);
        }

        var scale = TLanes.Create(1f / MathF.Sqrt((LaneOperations.Sum(sum) / length) + epsilon));
        for (var i = 0; i < whole; i += 16)
        {
            TLanes.Store(TLanes.Load(x + i) * scale * TLanes.Load(weight + i), y + i);
        }

        if (rest > 0)
        {
            var value = LaneOperations.Load<TLanes>(x + whole, rest, 0) * scale * LaneOperations.Load<TLanes>(weight + whole, rest, 0);
            LaneOperations.Store(value, y + whole, rest);
        }
    }

    /// <summary>SwiGLU: y = gate / (1 + exp(-gate)) * up.</summary>
    /// <param name="gate">[length]</param>
    /// <param name="up">[length]</param>
    /// <param name="y">[length], may be <paramref name="gate"/> or <paramref name="up"/>.</param>
    /// <param name="length">Elements.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu<TLanes>(float* gate, float* up, float* y, int length)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = length & ~15;
        var rest = length - whole;
        for (var i = 0; i < whole; i += 16)
        {
            TLanes.Store(GateLanes(TLanes.Load(gate + i), TLanes.Load(up + i)), y + i);
        }

        if (rest > 0)
        {
            var value = GateLanes(LaneOperations.Load<TLanes>(gate + whole, rest, 0), LaneOperations.Load<TLanes>(up + whole, rest, 0));
            LaneOperations.Store(value, y + whole, rest);
        }
    }

    /// <summary>x += y, both [length].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add<TLanes>(float* x, float* y, int length)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = length & ~15;
        for (var i = 0; i < whole; i += 16)
        {
            TLanes.Store(TLanes.Load(x + i) + TLanes.Load(y + i), x + i);
        }

        for (var i = whole; i < length; i++)
        {
            x[i] += y[i];
        }
    }

    /// <summary>Whether x [length] holds neither an infinity nor NaN: zero times either is NaN, and NaN passes through every sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool IsFinite<TLanes>(float* x, int length)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = length & ~15;
        var zero = TLanes.Create(0);
        var sum = zero;
        for (var i = 0; i < whole; i += 16)
        {
            sum = TLanes.FusedMultiplyAdd(TLanes.Load(x + i), zero, sum);
        }

        if (whole < length)
        {
            sum = TLanes.FusedMultiplyAdd(LaneOperations.Load<TLanes>(x + whole, length - whole, 0), zero, sum);
        }

        return LaneOperations.Sum(sum) == 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes GateLanes<TLanes>(TLanes gate, TLanes up)
        where TLanes : unmanaged, ILanes<TLanes>
        => gate / (TLanes.Create(1f) + Exponential.Exp(TLanes.Create(0) - gate)) * up;
}
