using System.Buffers;
using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>The first character of some bytes.</summary>
internal static class Utf8Prefix
{
    /// <summary>Not UTF-8: the first byte stands alone.</summary>
    public const int Invalid = 0;

    /// <summary>The beginning of a character; more bytes may complete it.</summary>
    public const int Incomplete = -1;

    /// <summary>The length of the character that <paramref name="bytes"/> begin with, or one of the constants.</summary>
    public static int Measure(ReadOnlySpan<byte> bytes) => Rune.DecodeFromUtf8(bytes, out _, out var length) switch
    {
        OperationStatus.Done => length,
        OperationStatus.NeedMoreData => Incomplete,
        _ => Invalid,
    };
}
