using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>
/// Tokens of a part that attend together: either tokens of one sequence that follow each other, or the newest tokens of several sequences. All
/// layers of a step share it.
/// </summary>
internal sealed class AttentionSpan
{
    private const int BlockLength = KeyValueCache.BlockLength;

    /// <summary>The first token, counted from the start of the part.</summary>
    public required int Start { get; init; }

    /// <summary>Tokens.</summary>
    public required int Count { get; init; }

    /// <summary>Sequences: 1, or as many as there are tokens.</summary>
    public required int SequenceCount { get; init; }

    /// <summary>Blocks of each sequence.</summary>
    public required int BlockCount { get; init; }

    /// <summary>The first block, where the blocks of the one sequence follow each other in the cache, which then need not be gathered; otherwise -1.</summary>
    public required int FirstBlock { get; init; }

    /// <summary>[sequence x block] int64: where they are; <see langword="null"/> where <see cref="FirstBlock"/> says it.</summary>
    public required Tensor? Blocks { get; init; }

    /// <summary>Positions, from the start of the first block, before the first one that is attended to; only with one sequence.</summary>
    public required int Skipped { get; init; }

    /// <summary>Positions of each sequence that are computed with.</summary>
    public required int Length { get; init; }

    /// <summary>
    /// What is not attended to: [token, position] where there is one sequence, otherwise [sequence, 1, position]; <see langword="null"/> where all is.
    /// </summary>
    public required Tensor? Mask { get; init; }

    /// <summary>Cuts a part of a step into spans, in order.</summary>
    /// <param name="tokens">The part.</param>
    /// <param name="tables">Where each sequence's blocks are.</param>
    /// <param name="window">Positions that a token attends to; 0 for all.</param>
    /// <param name="maxScoreCount">Bounds tokens x positions of a span, and with it the memory that it needs.</param>
    /// <param name="device">Where the tensors go, which belong to the caller's scope.</param>
    public static List<AttentionSpan> Cut(ReadOnlySpan<StepToken> tokens, BlockTables tables, int window, long maxScoreCount, Device device)
    {
        var spans = new List<AttentionSpan>();
        for (var start = 0; start < tokens.Length;)
        {
            var end = start + 1;
            while (end < tokens.Length && tokens[end].Slot == tokens[start].Slot)
            {
                end++;
            }

            if (end - start > 1)
            {
                CutSequence(tokens, start, end, tables, window, maxScoreCount, device, spans);
            }
            else
            {
                end = EndOfSingles(tokens, start, window, maxScoreCount);
                spans.Add(end - start == 1
                    ? OfSequence(tokens, start, end, tables, window, device)
                    : OfSequences(tokens[start..end], start, tables, window, device));
            }

            start = end;
        }

        return spans;
    }

    // As many tokens of one sequence at a time as the bound allows.
    private static void CutSequence(
        ReadOnlySpan<StepToken> tokens, int start, int end, BlockTables tables, int window, long maxScoreCount, Device device, List<AttentionSpan> spans)
    {
        while (start < end)
        {
            var count = (int)Math.Clamp(maxScoreCount / (tokens[end - 1].Position + 1), 1, end - start);
            spans.Add(OfSequence(tokens, start, start + count, tables, window, device));
            start += count;
        }
    }

    // The end of the tokens, from start on, that are alone in their sequences and together within the bound.
    private static int EndOfSingles(ReadOnlySpan<StepToken> tokens, int start, int window, long maxScoreCount)
    {
        long longest = 0;
        var end = start;
        while (end < tokens.Length && (end + 1 == tokens.Length || tokens[end + 1].Slot != tokens[end].Slot))
        {
            longest = Math.Max(longest, tokens[end].Position - First(tokens[end].Position, window) + BlockLength);
            if (end > start && longest * (end + 1 - start) > maxScoreCount)
            {
                break;
            }

            end++;
        }

        return end;
    }

    private static AttentionSpan OfSequence(ReadOnlySpan<StepToken> tokens, int start, int end, BlockTables tables, int window, Device device)
    {
        var (first, last) = (tokens[start], tokens[end - 1]);
        var firstPosition = First(first.Position, window);
        var firstPart = firstPosition / BlockLength;
        var blockCount = (last.Position / BlockLength) + 1 - firstPart;
        var blocks = new long[blockCount];
        var follow = true;
        for (var part = 0; part < blockCount; part++)
        {
            blocks[part] = tables.BlockOf(first.Slot, (firstPart + part) * BlockLength);
            follow &= blocks[part] == blocks[0] + part;
        }

        var length = last.Position + 1 - firstPosition;
        return new AttentionSpan
        {
            Start = start,
            Count = end - start,
            SequenceCount = 1,
            BlockCount = blockCount,
            FirstBlock = follow ? (int)blocks[0] : -1,
            Blocks = follow ? null : tensor(blocks, device: device),
            Skipped = firstPosition % BlockLength,
            Length = length,
            Mask = end - start == 1 ? null : CausalMask(first.Position - firstPosition, end - start, length, window, device),
        };
    }

    private static AttentionSpan OfSequences(ReadOnlySpan<StepToken> tokens, int start, BlockTables tables, int window, Device device)
    {
        var blockCount = 0;
        foreach (var token in tokens)
        {
            blockCount = Math.Max(blockCount, (token.Position / BlockLength) + 1 - (First(token.Position, window) / BlockLength));
        }

        // Shorter sequences have some block behind their last one, all of which is masked.
        var blocks = new long[tokens.Length * blockCount];
        var (firsts, ends) = (new long[tokens.Length], new long[tokens.Length]);
        for (var row = 0; row < tokens.Length; row++)
        {
            var token = tokens[row];
            var firstPart = First(token.Position, window) / BlockLength;
            for (var part = firstPart; part <= token.Position / BlockLength; part++)
            {
                blocks[(row * blockCount) + part - firstPart] = tables.BlockOf(token.Slot, part * BlockLength);
            }

            firsts[row] = First(token.Position, window) - (firstPart * BlockLength);
            ends[row] = token.Position + 1 - (firstPart * BlockLength);
        }

        var length = blockCount * BlockLength;
        var positions = arange(length, dtype: ScalarType.Int64, device: device).unsqueeze(0);
        var mask = positions.ge(tensor(ends, device: device).unsqueeze(1));
        if (window > 0)
        {
            mask = mask.logical_or(positions.lt(tensor(firsts, device: device).unsqueeze(1)));
        }

        return new AttentionSpan
        {
            Start = start,
            Count = tokens.Length,
            SequenceCount = tokens.Length,
            BlockCount = blockCount,
            FirstBlock = -1,
            Blocks = tensor(blocks, device: device),
            Skipped = 0,
            Length = length,
            Mask = mask.unsqueeze(1),
        };
    }

    // Position j is hidden from token i, which is at position offset + i, where it comes later or has left its window.
    private static Tensor CausalMask(int offset, int count, int length, int window, Device device)
    {
        var keys = arange(length, dtype: ScalarType.Int64, device: device).unsqueeze(0);
        var queries = arange(offset, offset + count, dtype: ScalarType.Int64, device: device).unsqueeze(1);
        var mask = keys.gt(queries);
        return window == 0 ? mask : mask.logical_or(keys.le(queries.sub(window)));
    }

    private static int First(int position, int window) => window == 0 ? 0 : Math.Max(0, position + 1 - window);
}
