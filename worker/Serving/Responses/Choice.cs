using System.Text;
using Distributed.Engine.Generation;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Serving.Responses;

/// <summary>News of one choice of an answer.</summary>
/// <param name="Index">The choice.</param>
/// <param name="Piece">What is new of its text.</param>
/// <param name="FinishReason">Set with the last.</param>
internal readonly record struct ChoiceNews(int Index, TextPiece Piece, FinishReason? FinishReason);

/// <summary>One choice, whole.</summary>
/// <param name="index">The choice.</param>
internal sealed class Choice(int index)
{
    private readonly StringBuilder _text = new();
    private readonly List<TextToken> _tokens = [];

    public int Index => index;

    public string Text => _text.ToString();

    public IReadOnlyList<TextToken> Tokens => _tokens;

    public FinishReason FinishReason { get; private set; }

    /// <summary>Takes its news.</summary>
    public void Add(ChoiceNews news)
    {
        _text.Append(news.Piece.Text);
        _tokens.AddRange(news.Piece.Tokens);
        FinishReason = news.FinishReason ?? FinishReason;
    }
}
