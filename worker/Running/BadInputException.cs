namespace Distributed.Worker.Running;

/// <summary>The user's input cannot be run; a sentence for each mistake.</summary>
internal sealed class BadInputException(IReadOnlyList<string> problems) : Exception(string.Join(Environment.NewLine, problems))
{
    public IReadOnlyList<string> Problems => problems;
}
