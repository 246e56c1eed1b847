namespace Distributed.Engine.Kernels;

/// <summary>
/// Sixteen float32 lanes: one register of 512 bits, two of 256, four of 128, or an array. Kernels are written once over this
/// contract, and every implementation gives the same bits, which is what makes results independent of the machine's vector width.
/// </summary>
/// <remarks>
/// <see cref="FusedMultiplyAdd"/> rounds once everywhere. The four folds are the levels of the one lane tree: applied in turn to
/// <c>v</c> and itself they sum <c>v</c> as (lane j + lane j+8), then +4, +2, +1; applied to different vectors they do so for up to
/// sixteen sums at once.
/// </remarks>
internal unsafe interface ILanes<TSelf>
    where TSelf : unmanaged, ILanes<TSelf>
{
    /// <summary>Whether this machine runs the implementation in its own registers.</summary>
    static abstract bool IsSupported { get; }

    /// <summary>Whether sixteen accumulators and their operands fit the register file: a tile of 4 x 4 instead of 2 x 2.</summary>
    static abstract bool HasLargeRegisterFile { get; }

    /// <summary>All lanes hold <paramref name="value"/>.</summary>
    static abstract TSelf Create(float value);

    /// <summary>Reads 16 floats from any address.</summary>
    static abstract TSelf Load(float* source);

    /// <summary>Writes 16 floats to any address.</summary>
    static abstract void Store(TSelf value, float* destination);

    /// <summary>Reads 32 bfloat16: the elements 0, 2, .. 30 and 1, 3, .. 31, exactly widened.</summary>
    static abstract void LoadBFloat16(byte* source, out TSelf even, out TSelf odd);

    /// <summary>Reads 32 float16: the elements 0, 2, .. 30 and 1, 3, .. 31, exactly widened; infinities and NaN stay what they are.</summary>
    static abstract void LoadFloat16(byte* source, out TSelf even, out TSelf odd);

    /// <summary>Reads 16 bfloat16 in their order, exactly widened.</summary>
    static abstract TSelf WidenBFloat16(ushort* source);

    /// <summary>Reads 16 whole numbers of 8 bits in their order.</summary>
    static abstract TSelf WidenInt8(sbyte* source);

    static abstract TSelf operator +(TSelf left, TSelf right);

    static abstract TSelf operator -(TSelf left, TSelf right);

    static abstract TSelf operator *(TSelf left, TSelf right);

    static abstract TSelf operator /(TSelf left, TSelf right);

    /// <summary><paramref name="left"/> x <paramref name="right"/> + <paramref name="addend"/>, rounded once.</summary>
    static abstract TSelf FusedMultiplyAdd(TSelf left, TSelf right, TSelf addend);

    /// <summary><c>candidate &gt; current ? candidate : current</c> in each lane; a NaN candidate is not taken, a NaN current stays.</summary>
    static abstract TSelf Greater(TSelf candidate, TSelf current);

    /// <summary><c>candidate &lt; current ? candidate : current</c> in each lane; a NaN candidate is not taken, a NaN current stays.</summary>
    static abstract TSelf Lesser(TSelf candidate, TSelf current);

    /// <summary>2 to the power of <paramref name="exponent"/>, which is integral and in [-126, 127] (or NaN, for any result).</summary>
    static abstract TSelf PowerOfTwo(TSelf exponent);

    /// <summary>Halves: left[j] + left[j+8] for j below 8, then the same of <paramref name="right"/>.</summary>
    static abstract TSelf Fold8(TSelf left, TSelf right);

    /// <summary>Quarters: x[j] + x[j+4] of left's low half, left's high half, right's low half, right's high half.</summary>
    static abstract TSelf Fold4(TSelf left, TSelf right);

    /// <summary>In each quarter: x[j] + x[j+2] of left's quarter, then of right's.</summary>
    static abstract TSelf Fold2(TSelf left, TSelf right);

    /// <summary>In each quarter: x[0] + x[1] and x[2] + x[3] of left's quarter, then of right's.</summary>
    static abstract TSelf Fold1(TSelf left, TSelf right);

    /// <summary>Writes lane 0 of each quarter: 4 floats.</summary>
    static abstract void StoreFirsts(TSelf value, float* destination);

    /// <summary>Writes the quarters, each as 4 floats, <paramref name="stride"/> floats apart.</summary>
    static abstract void StoreQuarters(TSelf value, float* destination, nint stride);

    /// <summary>Lane 0.</summary>
    static abstract float First(TSelf value);

    /// <summary>
    /// Asks for the cache line at <paramref name="address"/>, which need not be mapped, in the second-level cache: in the first,
    /// weights that come early push out the activations that every row reads again.
    /// </summary>
    static abstract void Prefetch(byte* address);
}
