using Distributed.Worker.Prompts;

namespace Distributed.Worker.Tests.Prompts;

public sealed class DialogJsonTests
{
    private const string Hello = """[{"role": "user", "content": "Hello"}]""";

    [Theory]
    [InlineData(Hello, 1)]
    [InlineData($"[{Hello}, {Hello}]", 2)]
    [InlineData($"{Hello}\n\n{Hello}\n{Hello}\n", 3)]
    public void Parse_OneAListOrLines_GivesTheDialogs(string text, int count)
    {
        var problems = new List<string>();
        var dialogs = DialogJson.Parse(text, "dialogs.json", problems);

        Assert.Empty(problems);
        Assert.Equal(count, dialogs.Count);
        Assert.All(dialogs, dialog => Assert.Equal(("user", "Hello"), (Assert.Single(dialog).Role, dialog[0].Content)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("""{"role": "user", "content": "Hello"}""")]
    [InlineData("""[{"role": "user"}]""")]
    [InlineData("""[{"role": "user", "content": 7}]""")]
    [InlineData("""[["user", "Hello"]]""")]
    [InlineData("[[[[[[[[[[]]]]]]]]]]")]
    [InlineData("""[{"role": "user", "content": "\ud800"}]""")]
    public void Parse_NoDialog_IsOneSentenceWithTheShape(string text)
    {
        var problems = new List<string>();
        var dialogs = DialogJson.Parse(text, "dialogs.json", problems);

        Assert.Empty(dialogs);
        Assert.Contains("""[{"role": "user", "content": "..."}]""", Assert.Single(problems), StringComparison.Ordinal);
    }
}
