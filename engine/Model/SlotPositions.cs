using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// How far each slot of the cache is filled, so that no step can attend to positions that nobody wrote, or to some that it writes itself
/// in another order.
/// </summary>
internal sealed class SlotPositions(int slotCount)
{
    private readonly int[] _stepNumbers = new int[slotCount]; // [slot], the last step that used it
    private int[] _filled = new int[slotCount]; // [slot], positions that hold a token
    private int[] _next = new int[slotCount]; // [slot], likewise after the step that is being checked
    private int _stepNumber;

    /// <summary>
    /// Takes note of a step's tokens. A slot's first one may be at a position that was written before, which forgets all that came after
    /// it; those that follow are its direct successors.
    /// </summary>
    /// <returns>One sentence that says what is wrong, and nothing is noted then; otherwise <see langword="null"/>.</returns>
    public string? Advance(StepCommand command)
    {
        _filled.CopyTo(_next, 0);
        _stepNumber++;
        foreach (var token in command.Tokens)
        {
            ref var filled = ref _next[token.Slot];
            var isFirst = _stepNumbers[token.Slot] != _stepNumber;
            if (token.Position > filled || (token.Position < filled && !isFirst))
            {
                return $"{token} does not follow the {filled} positions that slot {token.Slot} holds.";
            }

            _stepNumbers[token.Slot] = _stepNumber;
            filled = token.Position + 1;
        }

        (_filled, _next) = (_next, _filled);
        return null;
    }
}
