using System.Collections.Immutable;
using Distributed.Engine.Serving;
using Distributed.Engine.Tokenizers;

namespace Distributed.Worker.Serving.Text;

/// <summary>
/// Turns the tokens of one answer into text as they come. A character of several tokens comes out once it is complete, and what may be the beginning of a
/// stop text is held back. Joined, the pieces are what <see cref="Tokenizer.Decode"/> gives for all tokens, up to the first stop text.
/// </summary>
internal sealed class TextStream
{
    private readonly Tokenizer _tokenizer;
    private readonly Utf8StreamDecoder _decoder;
    private readonly StopMatcher _matcher;
    private readonly Queue<TextToken> _pending = new(); // tokens whose text has not begun to come out
    private int _decodedLength; // in code points, as are all places here
    private int _releasedLength;

    /// <param name="tokenizer">The model's.</param>
    /// <param name="stops">Texts before the first of which the answer ends; none empty.</param>
    /// <param name="before">
    /// What the text continues and does not show: a space that the answer's first token begins with is then text, and a character that the prompt has begun is whole.
    /// </param>
    public TextStream(Tokenizer tokenizer, ImmutableArray<string> stops, ReadOnlySpan<int> before = default)
    {
        _tokenizer = tokenizer;
        _decoder = new Utf8StreamDecoder(tokenizer);
        _matcher = new StopMatcher(stops);
        foreach (var tokenId in before)
        {
            Decode(tokenId);
        }
    }

    /// <summary>Whether a stop text was found: the answer is complete, and further tokens do not belong to it.</summary>
    public bool IsStopped => _matcher.IsStopped;

    /// <summary>Takes a token of the answer.</summary>
    public TextPiece Push(TokenEvent news)
    {
        var text = Decode(news.TokenId);
        _pending.Enqueue(new TextToken(news, _decodedLength));
        _decodedLength += LengthOf(text);
        return Release(_matcher.Push(text), isEnd: false);
    }

    /// <summary>Takes a token of an echoed prompt, in which stop texts are text.</summary>
    public TextPiece PushPrompt(TokenEvent news)
    {
        var text = Decode(news.TokenId);
        var token = new TextToken(news, _decodedLength);
        _decodedLength += LengthOf(text);
        _releasedLength += LengthOf(text);
        return new TextPiece(text, [token]);
    }

    /// <summary>What was held back, at the end of the answer.</summary>
    public TextPiece Finish()
    {
        if (IsStopped)
        {
            return TextPiece.Empty;
        }

        var rest = _decoder.Flush();
        _decodedLength += LengthOf(rest);
        var last = _matcher.Push(rest);
        return Release(last + _matcher.Flush(), isEnd: true);
    }

    // A model may have more ids than its tokenizer; those say nothing.
    private string Decode(int tokenId) => tokenId < _tokenizer.VocabularySize ? _decoder.Push(tokenId) : "";

    private TextPiece Release(string text, bool isEnd)
    {
        _releasedLength += LengthOf(text);
        var tokens = ImmutableArray.CreateBuilder<TextToken>();
        while (_pending.TryPeek(out var token) && (token.Offset < _releasedLength || (!IsStopped && (isEnd || _releasedLength == _decodedLength))))
        {
            tokens.Add(_pending.Dequeue());
        }

        if (IsStopped)
        {
            _pending.Clear(); // they are the stop's
        }

        return new TextPiece(text, tokens.ToImmutable());
    }

    private static int LengthOf(string text)
    {
        var length = text.Length;
        foreach (var character in text)
        {
            length -= char.IsLowSurrogate(character) ? 1 : 0;
        }

        return length;
    }
}

/// <summary>A part of an answer's text.</summary>
/// <param name="Text">May be empty.</param>
/// <param name="Tokens">The tokens whose text begins in it; each token is in one piece.</param>
internal readonly record struct TextPiece(string Text, ImmutableArray<TextToken> Tokens)
{
    public static TextPiece Empty { get; } = new("", []);

    /// <summary>Whether there is nothing to say.</summary>
    public bool IsEmpty => Text.Length == 0 && Tokens.IsEmpty;
}

/// <summary>A token and its place.</summary>
/// <param name="News">The token.</param>
/// <param name="Offset">Code points of the text before it.</param>
internal readonly record struct TextToken(TokenEvent News, int Offset);
