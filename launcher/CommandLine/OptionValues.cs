using System.Globalization;

namespace Distributed.Launcher.CommandLine;

/// <summary>The values of options, from the command line or else their PET_ variables, and the mistakes in them.</summary>
/// <param name="given">
/// Looks up the value of an option on the command line, "" for a flag; <see langword="null"/> where it is not given.
/// </param>
/// <param name="environment">Looks up an environment variable.</param>
/// <param name="problems">Receives the mistakes, one sentence each: value, rule, next step.</param>
internal sealed class OptionValues(Func<LauncherOption, string?> given, Func<string, string?> environment, List<string> problems)
{
    private const double MaxSeconds = 1_000_000;

    /// <summary>Adds a mistake.</summary>
    public void Report(string problem) => problems.Add(problem);

    /// <summary>An environment variable that is no option's own; <see langword="null"/> where it is unset or empty.</summary>
    public string? Variable(string name) => environment(name) is { Length: > 0 } value ? value : null;

    /// <summary>The text of an option. The command line wins over the variable, which only replaces the default.</summary>
    public string? Text(LauncherOption option) => given(option) ?? Variable(option.Variable);

    /// <summary>The text of an option for which an empty one, also in its variable, is a choice.</summary>
    public string? TextOrEmpty(LauncherOption option) => given(option) ?? environment(option.Variable);

    /// <summary>What a mistake calls the option: as it was given.</summary>
    public string Source(LauncherOption option) => given(option) is null ? option.Variable : option.Name;

    public bool Flag(LauncherOption option)
    {
        if (given(option) is not null)
        {
            return true;
        }

        switch (environment(option.Variable)?.ToUpperInvariant())
        {
            case null or "" or "0" or "FALSE":
                return false;
            case "1" or "TRUE":
                return true;
            case var value:
                Report($"{option.Variable}={value} is neither 1 nor 0; set it to one of them.");
                return false;
        }
    }

    /// <summary>One of a few words; <paramref name="absent"/> where there is none or another.</summary>
    public string Choice(LauncherOption option, string absent, params ReadOnlySpan<string> choices)
    {
        var text = Text(option) ?? absent;
        if (choices.Contains(text))
        {
            return text;
        }

        Report($"{Source(option)} {text} is none of {string.Join(", ", choices!)}; choose one of them.");
        return absent;
    }

    public TimeSpan Seconds(LauncherOption option, double absent, bool mayBeZero)
        => TimeSpan.FromSeconds(Text(option) is { } text ? ParseSeconds(Source(option) + " ", text, absent, mayBeZero) : absent);

    /// <summary>Seconds, with a variable of torchrun's that replaces the default.</summary>
    public TimeSpan Seconds(LauncherOption option, string variable, double absent)
    {
        if (Variable(variable) is { } text)
        {
            absent = ParseSeconds(variable + "=", text, absent, mayBeZero: true);
        }

        return Seconds(option, absent, mayBeZero: true);
    }

    public int Number(LauncherOption option, int absent, int minimum, int maximum)
    {
        if (Text(option) is not { } text)
        {
            return absent;
        }

        if (TryParse(text, out var number) && number >= minimum && number <= maximum)
        {
            return number;
        }

        var rule = minimum == maximum ? $"has to be {minimum} here"
            : maximum == int.MaxValue ? $"is not a whole number from {minimum}"
            : $"is not a whole number from {minimum} to {maximum}";
        Report($"{Source(option)} {text} {rule}; write {absent}, say.");
        return absent;
    }

    /// <summary>Numbers with commas between them; none where the option is not given.</summary>
    /// <param name="option">The option.</param>
    /// <param name="minimum">Of each.</param>
    /// <param name="maximum">Of each.</param>
    /// <param name="what">What they are called.</param>
    /// <param name="example">A right list.</param>
    public IReadOnlyList<int> Numbers(LauncherOption option, int minimum, int maximum, string what, string example)
    {
        if (Text(option) is not { } text)
        {
            return [];
        }

        var numbers = text.Split(',').Select(part => TryParse(part.Trim(), out var number) ? number : -1).ToArray();
        if (numbers.All(number => number >= minimum && number <= maximum))
        {
            return numbers;
        }

        var range = maximum == int.MaxValue ? $"from {minimum}" : $"from {minimum} to {maximum}";
        Report($"{Source(option)} {text} is not a list of {what} {range}; write {example}, say.");
        return [];
    }

    public static bool TryParse(string text, out int number)
        => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    public static bool TryParseSeconds(string text, out double seconds)
        => double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out seconds) && seconds <= MaxSeconds;

    private double ParseSeconds(string source, string text, double absent, bool mayBeZero)
    {
        if (TryParseSeconds(text, out var seconds) && (mayBeZero || seconds > 0))
        {
            return seconds;
        }

        var rule = mayBeZero ? "from 0" : "above 0";
        Report(string.Create(
            CultureInfo.InvariantCulture, $"{source}{text} is not a number of seconds {rule} to {MaxSeconds:0}; write {absent}, say."));
        return absent;
    }
}
