using System.Collections.Immutable;
using Distributed.Engine.Serving;
using Distributed.Engine.Tokenizers;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Tokens become text, with their places in it.</summary>
public class TextStreamTests
{
    private static readonly Tokenizer Tokenizer = Tokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));

    [Theory]
    [InlineData("Wren lived in a garden.")]
    [InlineData("grüß 😀😀 日本")] // characters of several byte tokens
    [InlineData("")]
    public void Push_AllTokens_GivesTheDecodedText(string text)
    {
        var ids = Tokenizer.Encode(text, bos: false, eos: false);
        var stream = new TextStream(Tokenizer, []);
        var pieces = ids.Select(id => stream.Push(News(id))).Append(stream.Finish()).ToArray();

        Assert.Equal(text, string.Concat(pieces.Select(piece => piece.Text)));
        Assert.Equal(ids, pieces.SelectMany(piece => piece.Tokens).Select(token => token.News.TokenId));
    }

    [Fact]
    public void Push_EmojiInFourTokens_ComesWholeAndAllItsTokensBeginBeforeIt()
    {
        var stream = new TextStream(Tokenizer, []);
        var ids = Tokenizer.Encode("a😀b", bos: false, eos: false);
        var pieces = ids.Select(id => stream.Push(News(id))).ToArray();

        Assert.DoesNotContain(pieces, piece => piece.Text.Contains('\uFFFD', StringComparison.Ordinal));
        Assert.Equal([0, 1, 1, 1, 1, 2], pieces.SelectMany(piece => piece.Tokens).Select(token => token.Offset)); // in code points
    }

    [Fact]
    public void Finish_BytesOfAnUnfinishedCharacter_AreReplacementCharacters()
    {
        var stream = new TextStream(Tokenizer, []);
        var ids = Tokenizer.Encode("😀", bos: false, eos: false)[..^1];
        Assert.Equal("", string.Concat(ids.Select(id => stream.Push(News(id)).Text)));
        Assert.Equal("\uFFFD\uFFFD\uFFFD", stream.Finish().Text);
    }

    [Fact]
    public void Push_StopAcrossTokens_DropsTheTokensOfTheStopOnly()
    {
        const string Text = "Once upon a time there was a fox.";
        var ids = Tokenizer.Encode(Text, bos: false, eos: false);
        var stream = new TextStream(Tokenizer, [" time there"]);
        var pieces = new List<TextPiece>();
        foreach (var id in ids)
        {
            pieces.Add(stream.Push(News(id)));
            if (stream.IsStopped)
            {
                break;
            }
        }

        pieces.Add(stream.Finish());
        Assert.Equal("Once upon a", string.Concat(pieces.Select(piece => piece.Text)));
        var tokens = pieces.SelectMany(piece => piece.Tokens).ToArray();
        Assert.Equal("Once upon a", Tokenizer.Decode([.. tokens.Select(token => token.News.TokenId)]));
        Assert.All(tokens, token => Assert.True(token.Offset < "Once upon a".Length));
    }

    [Fact]
    public void Push_BehindAPrompt_KeepsTheSpaceThatTheAnswerBeginsWith()
    {
        var ids = Tokenizer.Encode("Once upon a time", bos: true, eos: false);
        var alone = new TextStream(Tokenizer, []);
        var behind = new TextStream(Tokenizer, [], ids.AsSpan(0, 2));

        Assert.Equal("upon", alone.Push(News(ids[2])).Text);
        Assert.Equal(" upon", behind.Push(News(ids[2])).Text);
    }

    private static TokenEvent News(int tokenId) => new(0, tokenId, -1f, ImmutableArray<TokenLogprob>.Empty, null, IsPrompt: false);
}
