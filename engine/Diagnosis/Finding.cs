namespace Distributed.Engine.Diagnosis;

/// <summary>How much a finding matters.</summary>
public enum FindingLevel
{
    /// <summary>Worth knowing.</summary>
    Note,

    /// <summary>It would load, and the result might not be what was meant.</summary>
    Warning,

    /// <summary>It would not load.</summary>
    Error,
}

/// <summary>Something that an examination found: one sentence for the user, with the next step where there is one.</summary>
/// <param name="Level">How much it matters.</param>
/// <param name="Message">The sentence.</param>
public sealed record Finding(FindingLevel Level, string Message)
{
    internal static Finding Note(string message) => new(FindingLevel.Note, message);

    internal static Finding Warning(string message) => new(FindingLevel.Warning, message);

    internal static Finding Error(string message) => new(FindingLevel.Error, message);
}
