namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Text from a file as a message may show it: short, and without characters that would steer a terminal or forge a line of a log.
/// </summary>
internal static class Printable
{
    public static string Of(string text, int maxLength = 80)
    {
        var shown = text.Length <= maxLength ? text : text[..maxLength] + "...";
        return string.Concat(shown.Select(character => char.IsControl(character) ? '?' : character));
    }
}
