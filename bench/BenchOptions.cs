using System.Globalization;

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

    public string Text(string name, string otherwise) => _values.GetValueOrDefault(name, otherwise);

    public int Number(string name, int otherwise)
        => _values.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
