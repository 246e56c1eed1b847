using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Turns ids into text one by one, as they are generated: what the pushes return, joined, is what
/// <see cref="Tokenizer.Decode"/> gives for all of them. The bytes of a character that is not complete yet are held back.
/// One sequence, one owner.
/// </summary>
public sealed class Utf8StreamDecoder(Tokenizer tokenizer)
{
    private readonly byte[] _held = new byte[4];    // of one character; the fourth byte never stays
    private int _heldCount;
    private bool _atStart = true;
    private bool _startConsumed;
    private bool _anyText;

    /// <summary>The text that <paramref name="id"/> completes; often, within a character of several bytes, none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tokenizer has no such id.</exception>
    public string Push(int id)
    {
        var bytes = tokenizer.BytesOf(id);
        if (!bytes.IsEmpty)
        {
            var released = "";
            foreach (var value in bytes)
            {
                _held[_heldCount++] = value;
                var text = Release(toTheEnd: false);
                released = released.Length == 0 ? text : released + text;
            }

            return released;
        }

        // Bytes belong together only while they follow each other: anything between, a control piece too, ends the run.
        var before = Release(toTheEnd: true);
        _atStart &= !_startConsumed && !_anyText;
        var own = tokenizer.TextOf(id, _atStart, out _startConsumed);
        _anyText |= own.Length > 0;
        return before.Length == 0 ? own : before + own;
    }

    /// <summary>What is held back, as U+FFFD for each byte, at the end of the sequence; the decoder is then as new.</summary>
    public string Flush()
    {
        var text = Release(toTheEnd: true);
        (_atStart, _startConsumed, _anyText) = (true, false, false);
        return text;
    }

    /// <summary>Takes complete characters and impossible bytes out of those held; all of them where no more can follow.</summary>
    private string Release(bool toTheEnd)
    {
        var text = "";
        while (_heldCount > 0)
        {
            var held = _held.AsSpan(0, _heldCount);
            var length = Utf8Prefix.Measure(held);
            if (length == Utf8Prefix.Incomplete && !toTheEnd)
            {
                break;
            }

            text += length > 0 ? Encoding.UTF8.GetString(held[..length]) : "\uFFFD";
            length = Math.Max(length, 1);
            held[length..].CopyTo(_held);
            _heldCount -= length;
        }

        _anyText |= text.Length > 0;
        return text;
    }
}
