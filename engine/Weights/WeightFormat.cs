using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Weights;

/// <summary>What the matrices of a model are computed with.</summary>
public enum WeightFormat
{
    /// <summary>As they are stored, in place.</summary>
    Stored,

    /// <summary>Quantised while loading: 8 bits in blocks of 32, 8.5 bits a weight with the scales.</summary>
    Int8,

    /// <summary>Quantised while loading: 4 bits in blocks of 32, 4.5 bits a weight with the scales; the output layer in 8 bits.</summary>
    Int4,
}

/// <summary>What a format means for a checkpoint.</summary>
public static class WeightFormats
{
    /// <summary>The format that loading a checkpoint takes: <see cref="WeightFormat.Stored"/> where it is quantised to what is asked for already.</summary>
    /// <exception cref="CheckpointException">It is quantised to something else; the message says what to do.</exception>
    public static WeightFormat Of(CheckpointSource checkpoint, WeightFormat asked)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return asked == WeightFormat.Stored || checkpoint.Quantization is not { } stored ? asked
            : asked.Type() == stored ? WeightFormat.Stored
            : throw new CheckpointException(
                $"The checkpoint is quantised to {Name(stored)} and cannot be run in {Name(asked)}; leave --dtype out, or convert the original to {Name(asked)}.");
    }

    /// <summary>What a tensor is quantised to while loading; <see langword="null"/> for as it is stored.</summary>
    internal static TensorType? TypeOf(this WeightFormat format, string name) => format.Type() is { } type ? BlockShape.TypeOf(name, type) : null;

    /// <summary>What matrices are quantised to; <see langword="null"/> for as they are stored.</summary>
    internal static TensorType? Type(this WeightFormat format) => format switch
    {
        WeightFormat.Int8 => TensorType.Int8,
        WeightFormat.Int4 => TensorType.Int4,
        _ => null,
    };

    private static string Name<T>(T value)
        where T : struct, Enum
        => value.ToString().ToLowerInvariant();
}
