namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The arithmetic of a tensor's metadata, apart from files: does a view (offset, shape, strides) lie in its storage as one contiguous
/// row-major block? Every number comes from an untrusted pickle, so each step is bounded before it is taken. CVE-2026-24747 is what
/// happens where it is not.
/// </summary>
internal static class TensorLayout
{
    /// <summary>A Llama has matrices and vectors; the limit only keeps the arithmetic small.</summary>
    public const int MaxDimensionCount = 8;

    /// <summary>Checks a view of a storage.</summary>
    /// <param name="shape">Extents, outermost first.</param>
    /// <param name="strides">Elements from one index to the next, for each extent; any value where the extent is 1.</param>
    /// <param name="offset">Element of the storage at which the view begins.</param>
    /// <param name="storageElementCount">Elements of the storage, checked against the bytes that are there.</param>
    /// <param name="elementCount">Elements of the view; 0 where it is refused.</param>
    /// <returns>What is wrong, to follow the tensor's name in a sentence; <see langword="null"/> where nothing is.</returns>
    public static string? Check(
        ReadOnlySpan<long> shape, ReadOnlySpan<long> strides, long offset, long storageElementCount, out long elementCount)
    {
        elementCount = 0;
        if (shape.Length > MaxDimensionCount)
        {
            return $"has {shape.Length} dimensions, more than {MaxDimensionCount}";
        }

        if (shape.Length != strides.Length)
        {
            return $"has {shape.Length} extents but {strides.Length} strides";
        }

        // From the innermost extent outwards; `count` is the stride that a contiguous tensor has here. It never exceeds the storage,
        // so the product of two longs below fits an Int128.
        long count = 1;
        for (var dimension = shape.Length - 1; dimension >= 0; dimension--)
        {
            var extent = shape[dimension];
            if (extent < 1)
            {
                return $"has the extent {extent} in {Format(shape)}";
            }

            if (extent > 1 && strides[dimension] != count)
            {
                return $"is not contiguous (shape {Format(shape)}, strides {Format(strides)}); call .contiguous() before torch.save";
            }

            var product = (Int128)count * extent;
            if (product > storageElementCount)
            {
                return $"{Format(shape)} is larger than its storage of {storageElementCount} elements";
            }

            count = (long)product;
        }

        if (offset < 0 || count > storageElementCount || offset > storageElementCount - count)
        {
            return $"{Format(shape)} begins at element {offset} of a storage of {storageElementCount} and would pass its end";
        }

        elementCount = count;
        return null;
    }

    /// <summary>Whether a storage of so many elements is exactly as large as the bytes that the file has for it.</summary>
    public static bool StorageFits(long elementCount, int itemByteCount, long byteCount)
        => elementCount >= 0 && (Int128)elementCount * itemByteCount == byteCount;

    /// <summary><c>[512, 64]</c></summary>
    public static string Format(ReadOnlySpan<long> numbers) => $"[{string.Join(", ", numbers.ToArray())}]";
}
