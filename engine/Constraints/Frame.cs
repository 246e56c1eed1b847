namespace Distributed.Engine.Constraints;

/// <summary>
/// A place in a <see cref="ByteGrammar"/>: a node, its rule's counter, and the place to go on at behind the rule. Equal frames of one
/// <see cref="ConstraintMachine"/> are one object.
/// </summary>
internal sealed class Frame
{
    /// <summary>Below the whole language: to get there is to have completed it.</summary>
    public static readonly Frame Bottom = new(-1, 0, null, 0, isRelative: false);

    /// <summary>Stands for whatever is below, where that is not known; depths are then counted from here, and not bounded.</summary>
    public static readonly Frame Unknown = new(-1, 0, null, 0, isRelative: true);

    public Frame(int node, int count, Frame? below, int depth, bool isRelative)
        => (Node, Count, Below, Depth, IsRelative) = (node, count, below, depth, isRelative);

    public int Node { get; }

    public int Count { get; }

    /// <summary><see langword="null"/> for <see cref="Bottom"/> and <see cref="Unknown"/> only.</summary>
    public Frame? Below { get; }

    /// <summary>Containers that are open, this frame's own included.</summary>
    public int Depth { get; }

    /// <summary>Stands upon <see cref="Unknown"/>.</summary>
    public bool IsRelative { get; }
}
