using System.Collections.Frozen;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A typed storage of torch (<c>torch.BFloat16Storage</c>). The types that the engine cannot compute with are known too: a tensor that
/// is ignored may have one, and the error for one that is not can name it.
/// </summary>
/// <param name="Name">torch's name of an element, <c>bfloat16</c>.</param>
/// <param name="ClassName">Its class in the module <c>torch</c>.</param>
/// <param name="ItemByteCount">Bytes an element.</param>
/// <param name="TensorType">What the engine calls it; <see langword="null"/> where it has no kernels for it.</param>
internal sealed record StorageType(string Name, string ClassName, int ItemByteCount, TensorType? TensorType)
{
    private static readonly StorageType[] All =
    [
        new("float32", "FloatStorage", 4, Checkpoints.TensorType.Float32),
        new("bfloat16", "BFloat16Storage", 2, Checkpoints.TensorType.BFloat16),
        new("float16", "HalfStorage", 2, Checkpoints.TensorType.Float16),
        new("float64", "DoubleStorage", 8, null),
        new("int64", "LongStorage", 8, null),
        new("int32", "IntStorage", 4, null),
        new("int16", "ShortStorage", 2, null),
        new("int8", "CharStorage", 1, null),
        new("uint8", "ByteStorage", 1, null),
        new("bool", "BoolStorage", 1, null),
        new("complex64", "ComplexFloatStorage", 8, null),
        new("complex128", "ComplexDoubleStorage", 16, null),
    ];

    /// <summary>By the full name of the class in a pickle.</summary>
    public static FrozenDictionary<string, StorageType> ByGlobal { get; }
        = All.ToFrozenDictionary(type => $"torch.{type.ClassName}", StringComparer.Ordinal);

    /// <summary>The storage of tensors of this type.</summary>
    public static StorageType Of(TensorType type)
        => Array.Find(All, storage => storage.TensorType == type) ?? throw new ArgumentOutOfRangeException(nameof(type));
}
