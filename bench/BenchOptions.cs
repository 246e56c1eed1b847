using System.Globalization;
using Distributed.Engine.Kernels;

namespace Distributed.Bench;

/// <summary>Options of a benchmark, each <c>--name value</c>.</summary>
internal sealed class BenchOptions
{
    private readonly Dictionary<string, string> _values = [];

    /// <exception cref="ArgumentException">An option is not among <paramref name="known"/> or has no value.</exception>
    public BenchOptions(string[] args, params string[] known)
    {
        for (var i = 0; i < args.Length; i += 2)
        {
            var name = args[i].TrimStart('-');
            if (!known.Contains(name) || i + 1 == args.Length)
            {
                throw new ArgumentException($"{args[i]} is not one of {string.Join(", ", known.Select(option => $"--{option} VALUE"))}.");
            }

            _values[name] = args[i + 1];
        }
    }

    public bool Has(string name) => _values.ContainsKey(name);

    /// <exception cref="ArgumentException">It is no positive number.</exception>
    public double Quantity(string name, double otherwise)
        => !_values.TryGetValue(name, out var text) ? otherwise
            : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value > 0 && double.IsFinite(value) ? value
            : throw new ArgumentException($"--{name} {text} is not a number above zero.");

    /// <exception cref="ArgumentException">One of them is no positive whole number.</exception>
    public int[] Numbers(string name, string otherwise)
        => [.. Text(name, otherwise).Split(',').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
            ? number
            : throw new ArgumentException($"--{name} {part} is not a whole number above zero."))];

    public string Text(string name, string otherwise) => _values.GetValueOrDefault(name, otherwise);

    /// <summary><c>--precision highest|medium</c>.</summary>
    /// <exception cref="ArgumentException">It is neither.</exception>
    public MatmulPrecision Precision() => Text("precision", "highest") switch
    {
        "highest" => MatmulPrecision.Highest,
        "medium" => MatmulPrecision.Medium,
        var other => throw new ArgumentException($"--precision {other} is not highest or medium."),
    };

    public int Number(string name, int otherwise)
        => _values.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
