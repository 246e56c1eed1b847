using System.Globalization;

namespace Distributed.Engine.Constraints;

/// <summary>The numbers between two bounds, written without an exponent: digit by digit, while it matters, beside the digits of the bounds.</summary>
internal sealed class NumberRange
{
    private readonly GrammarBuilder _builder;
    private readonly bool _integers;
    private readonly Dictionary<(bool InFraction, int Length, int Position, bool AtLow, bool AtHigh), int> _nodes = [];
    private (string Whole, string Fraction, bool IsExcluded) _low;
    private (string Whole, string Fraction, bool IsExcluded)? _high;
    private int _to;

    private NumberRange(GrammarBuilder builder, bool integers) => (_builder, _integers) = (builder, integers);

    /// <summary>Adds the numbers from <paramref name="low"/> to <paramref name="high"/>.</summary>
    /// <param name="builder">Takes the nodes.</param>
    /// <param name="from">Before the number.</param>
    /// <param name="to">Behind it.</param>
    /// <param name="low">The lower bound, if any, and whether it is itself left out.</param>
    /// <param name="high">The upper bound, likewise.</param>
    /// <param name="integers">Only numbers without a fraction.</param>
    public static void Add(GrammarBuilder builder, int from, int to, NumberBound? low, NumberBound? high, bool integers)
    {
        if (integers)
        {
            (low, high) = (Whole(low, decimal.Ceiling), Whole(high, decimal.Floor));
        }

        if (low is null || low.Value.Value < 0)
        {
            var minus = builder.NodeBeside(from);
            builder.Byte(from, '-', minus);
            var most = high is { Value: < 0 } below ? new NumberBound(-below.Value, below.IsExcluded) : new NumberBound(0, IsExcluded: true);
            new NumberRange(builder, integers).AddMagnitudes(minus, to, most, low is null ? null : low.Value with { Value = -low.Value.Value });
        }

        if (high is null || high.Value.Value >= 0)
        {
            new NumberRange(builder, integers).AddMagnitudes(from, to, low is { Value: >= 0 } ? low.Value : new NumberBound(0, false), high);
        }
    }

    // The next integer within a bound that is none.
    private static NumberBound? Whole(NumberBound? bound, Func<decimal, decimal> round)
        => bound is { } given && round(given.Value) != given.Value ? new NumberBound(round(given.Value), IsExcluded: false) : bound;

    private void AddMagnitudes(int from, int to, NumberBound low, NumberBound? high)
    {
        (_low, _high, _to) = (Digits(low), high is null ? null : Digits(high.Value), to);
        var longest = _high?.Whole.Length ?? _low.Whole.Length;
        for (var length = _low.Whole.Length; length <= longest; length++)
        {
            _builder.Jump(from, Whole(length, 0, length == _low.Whole.Length, length == _high?.Whole.Length));
        }

        if (_high is null)
        {
            // Longer than the lower bound is greater, however it goes on.
            var node = _builder.NodeBeside(from);
            _builder.Bytes(from, (byte)'1', (byte)'9', node);
            for (var i = 0; i < _low.Whole.Length; i++)
            {
                var next = _builder.NodeBeside(from);
                _builder.Bytes(node, (byte)'0', (byte)'9', next);
                node = next;
            }

            _builder.Bytes(node, (byte)'0', (byte)'9', node);
            _builder.Jump(node, Fraction(0, atLow: false, atHigh: false));
        }
    }

    // Before the digit at a position of a whole part of so many digits.
    private int Whole(int length, int position, bool atLow, bool atHigh)
    {
        if (position == length)
        {
            return Fraction(0, atLow, atHigh);
        }

        if (TryFind((false, length, position, atLow, atHigh), out var node))
        {
            return node;
        }

        var first = position == 0 && length > 1 ? 1 : 0;
        AddDigits(node, first, _low.Whole, _high?.Whole, position, atLow, atHigh, (low, high) => Whole(length, position + 1, low, high));
        return node;
    }

    // Behind a digit, before the fraction's digit at a position: the number may end here, or go on.
    private int Fraction(int position, bool atLow, bool atHigh)
    {
        // Behind the bounds' last digits all positions are alike.
        position = Math.Min(position, Math.Max(_low.Fraction.Length, _high?.Fraction.Length ?? 0) + 1);
        if (TryFind((true, 0, position, atLow, atHigh), out var node))
        {
            return node;
        }

        var isAboveLow = !atLow || (position >= _low.Fraction.Length && !_low.IsExcluded);
        var isBelowHigh = !atHigh || position < _high!.Value.Fraction.Length || !_high.Value.IsExcluded;
        if (isAboveLow && isBelowHigh)
        {
            _builder.Jump(node, _to);
        }

        if (!_integers)
        {
            var digit = node;
            if (position == 0)
            {
                digit = _builder.NodeBeside(node);
                _builder.Byte(node, '.', digit);
            }

            AddDigits(digit, 0, _low.Fraction, _high?.Fraction, position, atLow, atHigh, (low, high) => Fraction(position + 1, low, high));
        }

        return node;
    }

    private void AddDigits(int from, int first, string low, string? high, int position, bool atLow, bool atHigh, Func<bool, bool, int> next)
    {
        var least = atLow ? DigitAt(low, position) : 0;
        var most = atHigh ? DigitAt(high!, position) : 9;
        for (var digit = Math.Max(first, least); digit <= most; digit++)
        {
            _builder.Byte(from, (char)('0' + digit), next(atLow && digit == least, atHigh && digit == most));
        }
    }

    private bool TryFind((bool InFraction, int Length, int Position, bool AtLow, bool AtHigh) key, out int node)
    {
        if (_nodes.TryGetValue(key, out node))
        {
            return true;
        }

        node = _nodes[key] = _builder.NodeBeside(_to);
        return false;
    }

    private static (string Whole, string Fraction, bool IsExcluded) Digits(NumberBound bound)
    {
        var parts = bound.Value.ToString(CultureInfo.InvariantCulture).Split('.');
        return (parts[0], parts.Length > 1 ? parts[1].TrimEnd('0') : "", bound.IsExcluded);
    }

    private static int DigitAt(string digits, int position) => position < digits.Length ? digits[position] - '0' : 0;
}

/// <summary>An end of a range of numbers.</summary>
internal readonly record struct NumberBound(decimal Value, bool IsExcluded);
