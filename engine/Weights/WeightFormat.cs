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
