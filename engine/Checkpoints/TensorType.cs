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
}
