using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>Runs sequences through a model in one of many ways and keeps the bits of everything that it says about them.</summary>
internal sealed class StepScript(int[][] sequences)
{
    /// <summary>Seeded sequences.</summary>
    public static StepScript Random(int seed, int vocabularySize, params int[] lengths)
    {
        var random = new Random(seed);
        return new StepScript([.. lengths.Select(length => Enumerable.Range(0, length).Select(_ => random.Next(vocabularySize)).ToArray())]);
    }

    /// <summary>
    /// The bits of sequence number <paramref name="sequence"/>: at each position the best token, its logit, log-sum-exp, the next token's logit and
    /// the scaled sum; at every fiftieth one and the last also the candidates; at the last the row.
    /// </summary>
    /// <param name="leader">Runs the steps.</param>
    /// <param name="sequence">Whose bits.</param>
    /// <param name="chunk">Tokens of each sequence in a step.</param>
    /// <param name="batch">Sequences that are in each step, this one among them; each has the slot of its place in the list.</param>
    public List<int> Run(LeaderLoop leader, int sequence, int chunk, params int[] batch)
    {
        var bits = new List<int>();
        var command = new StepCommand();
        for (var start = 0; start < sequences[sequence].Length; start += chunk)
        {
            command.Clear();
            for (var slot = 0; slot < batch.Length; slot++)
            {
                Add(command, sequences[batch[slot]], slot, start, chunk, wanted: batch[slot] == sequence);
            }

            var result = leader.Run(command);
            for (var output = 0; output < result.Count; output++)
            {
                Append(bits, result[output]);
            }
        }

        return bits;
    }

    private static void Add(StepCommand command, int[] tokens, int slot, int start, int chunk, bool wanted)
    {
        for (var position = start; position < Math.Min(tokens.Length, start + chunk); position++)
        {
            if (wanted)
            {
                var isLast = position + 1 == tokens.Length;
                command.AddOutput(
                    command.Tokens.Length,
                    isLast ? -1 : tokens[position + 1],
                    position % 2 == 0 ? 0.7f : 0,
                    isLast ? LogitsDetail.FullRow : position % 50 == 0 ? LogitsDetail.Candidates : LogitsDetail.Best);
            }

            command.AddToken(tokens[position], slot, position);
        }
    }

    private static void Append(List<int> bits, LogitsResult result)
    {
        bits.Add(result.BestTokenId);
        foreach (var value in (ReadOnlySpan<float>)[result.BestLogit, result.LogSumExp, result.TargetLogit, result.ScaledMaximum, result.ScaledSum])
        {
            bits.Add(BitConverter.SingleToInt32Bits(value));
        }

        foreach (var candidate in result.Candidates)
        {
            bits.Add(candidate.TokenId);
            bits.Add(BitConverter.SingleToInt32Bits(candidate.Logit));
        }

        foreach (var logit in result.Row)
        {
            bits.Add(BitConverter.SingleToInt32Bits(logit));
        }
    }
}
