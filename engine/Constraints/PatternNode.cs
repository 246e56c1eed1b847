namespace Distributed.Engine.Constraints;

/// <summary>A regular expression, read.</summary>
internal abstract record PatternNode
{
    /// <summary>One character of a set.</summary>
    public sealed record One(CodePointSet Set) : PatternNode;

    /// <summary>All, one behind the other; none is the empty text.</summary>
    public sealed record Sequence(IReadOnlyList<PatternNode> Items) : PatternNode;

    /// <summary>Any of them.</summary>
    public sealed record Choice(IReadOnlyList<PatternNode> Items) : PatternNode;

    /// <summary>From <paramref name="Least"/> to <paramref name="Most"/> times; <see langword="null"/> for any number.</summary>
    public sealed record Repeat(PatternNode Item, int Least, int? Most) : PatternNode;

    /// <summary>Any text.</summary>
    public static PatternNode Anything { get; } = new Repeat(new One(CodePointSet.All), 0, null);
}
