namespace Distributed.Worker.Options;

/// <summary>What the user gave for each option, as text, with where it came from: the command line, or under it a config file.</summary>
internal sealed class OptionValues
{
    private readonly Dictionary<string, Given> _given = new(StringComparer.Ordinal);

    /// <summary>Records <paramref name="values"/> for <paramref name="name"/> unless an earlier source has given it.</summary>
    /// <param name="name">The option's name.</param>
    /// <param name="source">How sentences call it: <c>--top-p</c>, or <c>"top_p" in demo.json</c>.</param>
    /// <param name="values">At least one; for a switch <c>true</c> or <c>false</c>.</param>
    public void Add(string name, string source, IReadOnlyList<string> values) => _given.TryAdd(name, new Given(source, values));

    /// <summary>Whether any source has given it.</summary>
    public bool Has(string name) => _given.ContainsKey(name);

    /// <summary>What was given for <paramref name="name"/>; <see langword="null"/> where nothing was.</summary>
    public Given? this[string name] => _given.GetValueOrDefault(name);

    /// <summary>One option as it was given.</summary>
    internal sealed record Given(string Source, IReadOnlyList<string> Values)
    {
        /// <summary>The value of an option that does not repeat.</summary>
        public string Last => Values[^1];
    }
}
