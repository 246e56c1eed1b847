using System.Numerics;
using System.Runtime.CompilerServices;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// A reduce operation as a type, so that a loop over elements is compiled for each and has no choice in it: to choose for each vector costs
/// ten times what the addition does. The type of the elements is its parameter and not its methods', which would not be inlined.
/// </summary>
/// <typeparam name="T">The element.</typeparam>
internal interface IElementOperator<T>
{
    /// <summary>Of two elements.</summary>
    static abstract T Of(T left, T right);

    /// <summary>Of each lane.</summary>
    static abstract Vector<T> Of(Vector<T> left, Vector<T> right);
}

/// <inheritdoc cref="ReduceOperation.Sum"/>
internal readonly struct Sum<T> : IElementOperator<T>
    where T : INumber<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Of(T left, T right) => unchecked(left + right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<T> Of(Vector<T> left, Vector<T> right) => left + right;
}

/// <inheritdoc cref="ReduceOperation.Max"/>
internal readonly struct Greater<T> : IElementOperator<T>
    where T : INumber<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Of(T left, T right) => T.Max(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<T> Of(Vector<T> left, Vector<T> right) => Vector.Max(left, right);
}

/// <inheritdoc cref="ReduceOperation.Min"/>
internal readonly struct Lesser<T> : IElementOperator<T>
    where T : INumber<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Of(T left, T right) => T.Min(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<T> Of(Vector<T> left, Vector<T> right) => Vector.Min(left, right);
}
