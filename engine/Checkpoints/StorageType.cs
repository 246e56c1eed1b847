using System.Collections.Frozen;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A typed storage of torch (<c>torch.BFloat16Storage</c>). The types that the engine cannot compute with are known too: a tensor that
/// is ignored may have one, and the error for one that is not can name it.
/// </summary>
/// <param name="Name">torch's name of an element, <c>bfloat16</c>.</param>
/// <param name="ItemByteCount">Bytes an element.</param>
/// <param name="TensorType">What the engine calls it; <see langword="null"/> where it has no kernels for it.</param>
internal sealed record StorageType(string Name, int ItemByteCount, TensorType? TensorType)
{
    /// <summary>By the full name of the class in a pickle.</summary>
    public static FrozenDictionary<string, StorageType> ByGlobal { get; } = new Dictionary<string, StorageType>
    {
        ["torch.FloatStorage"] = new("float32", 4, Checkpoints.TensorType.Float32),
        ["torch.BFloat16Storage"] = new("bfloat16", 2, Checkpoints.TensorType.BFloat16),
        ["torch.HalfStorage"] = new("float16", 2, Checkpoints.TensorType.Float16),
        ["torch.DoubleStorage"] = new("float64", 8, null),
        ["torch.LongStorage"] = new("int64", 8, null),
        ["torch.IntStorage"] = new("int32", 4, null),
        ["torch.ShortStorage"] = new("int16", 2, null),
        ["torch.CharStorage"] = new("int8", 1, null),
        ["torch.ByteStorage"] = new("uint8", 1, null),
        ["torch.BoolStorage"] = new("bool", 1, null),
        ["torch.ComplexFloatStorage"] = new("complex64", 8, null),
        ["torch.ComplexDoubleStorage"] = new("complex128", 16, null),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The storage class that torch reads for <paramref name="type"/>.</summary>
    public static string GlobalOf(TensorType type) => ByGlobal.Single(entry => entry.Value.TensorType == type).Key;
}
