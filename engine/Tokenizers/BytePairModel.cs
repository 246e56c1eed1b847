using System.Collections.Immutable;

namespace Distributed.Engine.Tokenizers;

/// <summary>What a file says about a byte-pair tokenizer, checked.</summary>
internal sealed record BytePairModel
{
    private static readonly byte[] AllBytes = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    /// <summary>Names the file in errors.</summary>
    public required string Path { get; init; }

    /// <summary>[id]</summary>
    public required TokenList Tokens { get; init; }

    /// <summary>Which neighbours merge.</summary>
    public required MergeRanks Merges { get; init; }

    /// <summary>[byte], the token that a byte begins as; all are there.</summary>
    public required ImmutableArray<int> ByteIds { get; init; }

    /// <summary>Whether merging begins with bytes, and not with characters.</summary>
    public required bool IsByteLevel { get; init; }

    /// <summary>How words are cut.</summary>
    public WordSplit Split { get; init; }

    /// <summary>Whether a word that is a token is taken as it is, even where merging would not reach it.</summary>
    public bool TakesWholeWords { get; init; }

    /// <summary>Whether text is brought to Unicode's form C first.</summary>
    public bool NormalizesToFormC { get; init; }

    /// <summary>Whether a space is put in front of a text of characters.</summary>
    public bool AddsDummyPrefix { get; init; }

    public int BosId { get; init; } = -1;

    public int EosId { get; init; } = -1;

    /// <summary>Every byte, in order.</summary>
    public static ReadOnlySpan<byte> SingleBytes => AllBytes;

    /// <summary>The byte that an id stands for; -1 where it stands for none.</summary>
    public int ByteOf(int id) => ByteIds.IndexOf(id);

    /// <summary>An error whose sentence begins with the file's path.</summary>
    public TokenizerFormatException Error(string problem) => new($"{Path} {problem}.");
}
