namespace Distributed.Engine.Constraints;

/// <summary>
/// All that may be the case after the bytes so far: the top frames of the ways that are still open, in the order of the schema.
/// </summary>
internal sealed class Configuration(Frame[] frames, bool isComplete, bool isLeft, int reach, int byteClassCount)
{
    private Configuration?[]? _next; // [byte class], as far as it was asked for

    /// <summary>Each has byte edges.</summary>
    public Frame[] Frames { get; } = frames;

    /// <summary>The bytes so far are a whole text of the language.</summary>
    public bool IsComplete { get; } = isComplete;

    /// <summary><see cref="Frame.Unknown"/> was reached: what comes next is not known.</summary>
    public bool IsLeft { get; } = isLeft;

    /// <summary>The greatest depth that was needed for some way here, followed or not.</summary>
    public int Reach { get; set; } = reach;

    /// <summary>No text of the language begins with these bytes.</summary>
    public bool IsDead => Frames.Length == 0 && !IsComplete && !IsLeft;

    public Configuration? Next(int byteClass) => _next?[byteClass];

    public void SetNext(int byteClass, Configuration next) => (_next ??= new Configuration?[byteClassCount])[byteClass] = next;
}
