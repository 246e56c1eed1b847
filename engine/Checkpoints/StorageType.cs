using System.Collections.Frozen;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A typed storage of torch (<c>torch.BFloat16Storage</c>). The types that the engine cannot compute with are known too: a tensor that
/// is ignored may have one, and the error for one that is not can name it.
/// </summary>
/// <param name="Name">torch's name of an element, <c>bfloat16</c>.</param>
/// <param name="ClassName">Its class in the module <c>torch</c>.</param>
/// <param name="SafetensorsName">Its name in a safetensors header; empty where that format has no such type.</param>
/// <param name="ItemByteCount">Bytes an element.</param>
/// <param name="TensorType">What the engine calls it; <see langword="null"/> where it has no kernels for it.</param>
internal sealed record StorageType(string Name, string ClassName, string SafetensorsName, int ItemByteCount, TensorType? TensorType)
{
    private static readonly StorageType[] All =
    [
        new("float32", "FloatStorage", "F32", 4, Checkpoints.TensorType.Float32),
        new("bfloat16", "BFloat16Storage", "BF16", 2, Checkpoints.TensorType.BFloat16),
        new("float16", "HalfStorage", "F16", 2, Checkpoints.TensorType.Float16),
        new("float64", "DoubleStorage", "F64", 8, null),
        new("int64", "LongStorage", "I64", 8, null),
        new("int32", "IntStorage", "I32", 4, null),
        new("int16", "ShortStorage", "I16", 2, null),
        new("int8", "CharStorage", "I8", 1, null),
        new("uint8", "ByteStorage", "U8", 1, null),
        new("bool", "BoolStorage", "BOOL", 1, null),
        new("complex64", "ComplexFloatStorage", "C64", 8, null),
        new("complex128", "ComplexDoubleStorage", "", 16, null),
    ];

    /// <summary>By the full name of the class in a pickle.</summary>
    public static FrozenDictionary<string, StorageType> ByGlobal { get; }
        = All.ToFrozenDictionary(type => $"torch.{type.ClassName}", StringComparer.Ordinal);

    /// <summary>By the name in a safetensors header.</summary>
    public static FrozenDictionary<string, StorageType> BySafetensorsName { get; }
        = All.Where(type => type.SafetensorsName.Length > 0).ToFrozenDictionary(type => type.SafetensorsName, StringComparer.Ordinal);

    /// <summary>The storage of tensors of this type.</summary>
    public static StorageType Of(TensorType type)
        => type is Checkpoints.TensorType.Int8 or Checkpoints.TensorType.Int4 ? BySafetensorsName["U8"] // tiles are bytes to the file
        : Array.Find(All, storage => storage.TensorType == type) ?? throw new ArgumentOutOfRangeException(nameof(type));
}
