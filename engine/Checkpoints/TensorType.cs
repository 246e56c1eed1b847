namespace Distributed.Engine.Checkpoints;

/// <summary>How an element of a checkpoint's tensor is stored, little-endian.</summary>
public enum TensorType
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32,

    /// <summary>The upper half of a binary32.</summary>
    BFloat16,

    /// <summary>IEEE 754 binary16.</summary>
    Float16,

    /// <summary>8 bits in blocks of 32 with a scale each: <see cref="BlockShape"/>.</summary>
    Int8,

    /// <summary>4 bits in blocks of 32 with a scale each: <see cref="BlockShape"/>.</summary>
    Int4,
}
