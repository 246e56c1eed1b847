using System.Globalization;

namespace Distributed.Launcher.CommandLine;

/// <summary>The output streams of a program, as torchrun numbers them.</summary>
[Flags]
internal enum OutputStreams
{
    None = 0,
    Out = 1,
    Error = 2,
    Both = Out | Error,
}

/// <summary>A choice of streams: the same for all ranks, or for each local rank its own.</summary>
internal sealed class RankStreams
{
    private readonly OutputStreams _all;
    private readonly IReadOnlyDictionary<int, OutputStreams>? _ofRank;

    private RankStreams(OutputStreams all) => _all = all;

    private RankStreams(IReadOnlyDictionary<int, OutputStreams> ofRank) => _ofRank = ofRank;

    /// <summary>No stream of any rank.</summary>
    public static RankStreams None { get; } = new(OutputStreams.None);

    /// <summary>The streams of one rank; none where the choice does not name the rank.</summary>
    public OutputStreams this[int localRank] => _ofRank is null ? _all : _ofRank.GetValueOrDefault(localRank);

    /// <summary>
    /// Reads torchrun's grammar: <c>0</c> to <c>3</c> for all ranks, or <c>rank:0..3</c> with commas between. torchrun takes one digit for a
    /// rank, this any number.
    /// </summary>
    /// <returns>The choice; <see langword="null"/> where the text is none.</returns>
    public static RankStreams? Parse(string text)
    {
        if (Streams(text) is { } all)
        {
            return all == OutputStreams.None ? None : new RankStreams(all);
        }

        var ofRank = new Dictionary<int, OutputStreams>();
        foreach (var entry in text.Split(','))
        {
            var parts = entry.Split(':');
            if (parts.Length != 2
                || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var rank)
                || Streams(parts[1]) is not { } streams)
            {
                return null;
            }

            ofRank[rank] = streams;
        }

        return new RankStreams(ofRank);
    }

    private static OutputStreams? Streams(string text) => text is ['0' or '1' or '2' or '3'] ? (OutputStreams)(text[0] - '0') : null;
}
