using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>A generate loop as plain as can be: prompts in one ragged step, then one token a row and step.</summary>
internal sealed class GreedyRows(LeaderLoop leader)
{
    private readonly StepCommand _command = new();

    public (List<int> Tokens, List<float> Logprobs)[] Run(int[][] prompts, int maxGenLen, int maxSeqLen)
    {
        var rows = prompts.Select(prompt => (Tokens: new List<int>(prompt), Logprobs: new List<float> { 0 })).ToArray();
        _command.Clear();
        for (var slot = 0; slot < rows.Length; slot++)
        {
            for (var position = 0; position < prompts[slot].Length; position++)
            {
                var isLast = position + 1 == prompts[slot].Length;
                _command.AddOutput(_command.Tokens.Length, isLast ? -1 : prompts[slot][position + 1]);
                _command.AddToken(prompts[slot][position], slot, position);
            }
        }

        var result = leader.Run(_command);
        var output = 0;
        for (var slot = 0; slot < rows.Length; slot++)
        {
            for (var position = 1; position < prompts[slot].Length; position++, output++)
            {
                rows[slot].Logprobs.Add(result[output].TargetLogit - result[output].LogSumExp);
            }

            Append(rows[slot], result[output++]);
        }

        while (true)
        {
            var running = Enumerable.Range(0, rows.Length)
                .Where(slot => rows[slot].Tokens.Count < Math.Min(maxSeqLen, prompts[slot].Length + maxGenLen))
                .ToArray();
            if (running.Length == 0)
            {
                return rows;
            }

            _command.Clear();
            foreach (var slot in running)
            {
                _command.AddOutput(_command.Tokens.Length);
                _command.AddToken(rows[slot].Tokens[^1], slot, rows[slot].Tokens.Count - 1);
            }

            result = leader.Run(_command);
            for (var i = 0; i < running.Length; i++)
            {
                Append(rows[running[i]], result[i]);
            }
        }
    }

    private static void Append((List<int> Tokens, List<float> Logprobs) row, LogitsResult next)
    {
        row.Tokens.Add(next.BestTokenId);
        row.Logprobs.Add(next.BestLogit - next.LogSumExp);
    }
}
