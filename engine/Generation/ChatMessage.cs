namespace Distributed.Engine.Generation;

/// <summary>One message of a dialog.</summary>
/// <param name="Role"><c>system</c> (only first), <c>user</c> or <c>assistant</c>.</param>
/// <param name="Content">Text as the author wrote it.</param>
public sealed record ChatMessage(string Role, string Content)
{
    public const string System = "system";
    public const string User = "user";
    public const string Assistant = "assistant";
}
