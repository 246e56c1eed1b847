namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Text from a file or a request as a message may show it: short, and without characters that would steer a terminal or forge a line of a log.
/// </summary>
public static class Printable
{
    /// <summary>The text, or its beginning.</summary>
    /// <param name="text">Any.</param>
    /// <param name="maxLength">Characters, beside the three dots of what is cut.</param>
    public static string Of(string text, int maxLength = 80)
    {
        ArgumentNullException.ThrowIfNull(text);
        var shown = text.Length <= maxLength ? text : text[..maxLength] + "...";
        return string.Concat(shown.Select(character => char.IsControl(character) ? '?' : character));
    }
}
