using Distributed.Engine.Generation;

namespace Distributed.Engine.Serving;

/// <summary>
/// Chooses what a step carries: first the next token of every row that decodes, then parts of prompts, whose number is bounded so that a step stays short.
/// The bound is shared out evenly and what a short prompt leaves goes to the longer ones, so a short one is through in its first step or two
/// whatever else is read.
/// </summary>
/// <param name="maxTokensPerStep">Tokens of the largest step.</param>
/// <param name="maxPrefillTokens">Tokens of prompts of a step.</param>
internal sealed class StepPlanner(int maxTokensPerStep, int maxPrefillTokens)
{
    private readonly List<ServingRow> _prompts = [];
    private int _first; // whose turn it is where not all rows have room in a step

    /// <summary>Fills an empty step.</summary>
    /// <param name="rows">The rows in slots.</param>
    /// <param name="step">Gets the tokens; none where every row waits for its reader.</param>
    public void Plan(IReadOnlyList<ServingRow> rows, SequenceStep step)
    {
        _prompts.Clear();
        for (var i = 0; i < rows.Count; i++)
        {
            var row = rows[(i + _first) % rows.Count];
            if (row.PendingCount > 1)
            {
                _prompts.Add(row);
            }
            else if (step.TokenCount < maxTokensPerStep && row.RunnableCount(1) > 0)
            {
                step.Add(row, 1);
            }
        }

        _first = rows.Count > maxTokensPerStep ? (_first + 1) % rows.Count : 0;
        AddPrompts(step, Math.Min(maxPrefillTokens, maxTokensPerStep - step.TokenCount));
    }

    private void AddPrompts(SequenceStep step, int room)
    {
        _prompts.Sort((left, right) => (left.PendingCount, left.Number).CompareTo((right.PendingCount, right.Number)));
        for (var i = 0; i < _prompts.Count && room > 0; i++)
        {
            var left = _prompts.Count - i;
            var count = _prompts[i].RunnableCount((room + left - 1) / left);
            if (count > 0)
            {
                step.Add(_prompts[i], count);
                room -= count;
            }
        }
    }
}
