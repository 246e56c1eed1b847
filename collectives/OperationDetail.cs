using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives;

/// <summary>
/// What the ranks of an operation have to agree on beside its name, tag and length: element type, reduce operation and root. It travels
/// with every segment, so that a rank with another root or type is an error and never a wrong result.
/// </summary>
/// <param name="Bits">
/// Root + 1 in the lower half; reduce operation + 1 and element type + 1 in the quarters above, and the form in which sums travel in the upper half
/// of the last; 0 for what there is none of.
/// </param>
internal readonly record struct OperationDetail(uint Bits)
{
    private const int OperationShift = 16;
    private const int TypeShift = 24;
    private const int WireShift = 28;

    /// <summary>The detail of an operation with a root.</summary>
    public static OperationDetail Of(int root) => new((uint)root + 1);

    /// <summary>The detail of a reduction.</summary>
    public static OperationDetail Of(Reduction reduction, WireFormat wire = WireFormat.Exact)
        => new(((uint)wire << WireShift) | (((uint)reduction.Type + 1) << TypeShift) | (((uint)reduction.Operation + 1) << OperationShift));

    /// <summary>The detail of a reduction to a root.</summary>
    public static OperationDetail Of(Reduction reduction, int root) => new(Of(reduction).Bits | Of(root).Bits);

    /// <summary>", Sum of Float32, root 0", ", Sum of Float32 as bf16", or what of it there is.</summary>
    public override string ToString()
    {
        var (wire, type, operation, root) = ((WireFormat)(Bits >> WireShift), (Bits >> TypeShift) & 0xF, (Bits >> OperationShift) & 0xFF, Bits & 0xFFFF);
        var narrow = wire == WireFormat.Exact ? "" : $" as {WireNames.NameOf(wire)}";
        var reduction = type == 0 || operation == 0 ? "" : $", {(ReduceOperation)(operation - 1)} of {(DataType)(type - 1)}{narrow}";
        return root == 0 ? reduction : $"{reduction}, root {root - 1}";
    }
}
