using Distributed.Engine.Generation;
using Distributed.Worker.Output;

namespace Distributed.Worker.Tests.Output;

public sealed class TextOutputTests
{
    private readonly StringWriter _writer = new();

    [Fact]
    public void OnUpdate_RowsTogether_PrintsTheFirstLiveAndTheOthersInOrder()
    {
        var output = Begin(new("A:", ";"), new("B:", ";"), new("C:", ";"));
        Assert.Equal("A:", _writer.ToString());

        output.OnUpdate(0, Piece("a1"));
        Assert.Equal("A:a1", _writer.ToString());
        output.OnUpdate(1, Piece("b1"));
        output.OnUpdate(2, Piece("c1"));
        output.OnUpdate(2, End());
        Assert.Equal("A:a1", _writer.ToString());
        output.OnUpdate(0, End("a2"));
        Assert.Equal("A:a1a2;B:b1", _writer.ToString());
        output.OnUpdate(1, Piece("b2"));
        Assert.Equal("A:a1a2;B:b1b2", _writer.ToString());
        output.OnUpdate(1, End());
        Assert.Equal("A:a1a2;B:b1b2;C:c1;", _writer.ToString());
    }

    [Fact]
    public void OnUpdate_LaterRowEndsFirst_WaitsForItsTurn()
    {
        var output = Begin(new("A:", ";"), new("B:", ";"));

        output.OnUpdate(1, End("b"));
        Assert.Equal("A:", _writer.ToString());
        output.OnUpdate(0, End("a"));

        Assert.Equal("A:a;B:b;", _writer.ToString());
    }

    [Fact]
    public void Frame_OfAPrompt_IsWhatMetasScriptPrints()
    {
        // inference.md line 58; print() ends each with a line feed
        var output = Begin(new PromptInput("Once", [1, 2]).Frame);
        output.OnUpdate(0, End("upon"));

        Assert.Equal("Once\n> upon\n\n==================================\n\n", _writer.ToString());
    }

    [Fact]
    public void Frame_OfADialog_IsWhatMetasScriptPrints()
    {
        var output = Begin(new DialogInput([new("system", "Be brief"), new("user", "Hi")]).Frame);
        output.OnUpdate(0, End("Hello!"));

        Assert.Equal("System: Be brief\n\nUser: Hi\n\n> Assistant: Hello!\n\n==================================\n\n", _writer.ToString());
    }

    private TextOutput Begin(params RowFrame[] frames)
    {
        var output = new TextOutput(_writer, frames);
        output.Begin();
        return output;
    }

    private static RowUpdate Piece(string text) => new(0, TokenId: 1, text, FinishReason: null);

    private static RowUpdate End(string text = "") => new(0, TokenId: null, text, FinishReason.Length);
}
