namespace Distributed.Launcher.CommandLine;

/// <summary>A command line cut in two: the launcher's own options, and from the first word that is none of them the program.</summary>
/// <remarks>
/// What follows the program may look like an option of ours (<c>--help</c>, <c>--role</c>) and must not be taken for one, so the cut
/// comes first; and where it is depends on which options take a value. After it nothing is left that a parser library could do.
/// </remarks>
internal sealed class SplitCommandLine
{
    private readonly Dictionary<LauncherOption, string> _values = [];
    private readonly List<string> _problems = [];

    /// <summary>Cuts <paramref name="arguments"/>.</summary>
    public SplitCommandLine(IReadOnlyList<string> arguments)
    {
        var next = 0;
        while (next < arguments.Count && arguments[next] is ['-', _, ..] word)
        {
            next++;
            if (word == "--")
            {
                break;
            }

            if (IsHelp(word))
            {
                WantsHelp = true;
            }
            else if (word == "--version")
            {
                WantsVersion = true;
            }
            else if (TakeOption(word, next < arguments.Count ? arguments[next] : null))
            {
                next++;
            }
        }

        Program = [.. arguments.Skip(next)];
    }

    /// <summary>The program and its arguments, untouched; empty where there is none.</summary>
    public IReadOnlyList<string> Program { get; }

    /// <summary>One sentence for each option that is unknown or incomplete.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>
    /// Whether one of the problems is an option that is not known, so that it is not known either where the program begins.
    /// </summary>
    public bool HasUnknownOption { get; private set; }

    public bool WantsHelp { get; }

    public bool WantsVersion { get; }

    /// <summary>The value of an option as it was given last, "" for a flag; <see langword="null"/> where it was not given.</summary>
    public string? ValueOf(LauncherOption option) => _values.GetValueOrDefault(option);

    private static bool IsHelp(string word) => word is "-h" or "--help";

    private static bool IsOption(string word)
        => word is "--" or "--version" || IsHelp(word) || LauncherOption.Find(word.Split('=')[0]) is not null;

    private static string Unknown(string name)
    {
        var spelled = name.Replace('_', '-');
        var similar = LauncherOption.Groups.SelectMany(group => group.Options).FirstOrDefault(
            option => spelled.Length > 3 && option.Name.StartsWith(spelled, StringComparison.Ordinal));
        return similar is null
            ? $"{name} is not an option of distrun; options of the program go after its name."
            : $"{name} is not an option of distrun; did you mean {similar.Name}?";
    }

    /// <summary>Takes one option, and says whether the next word was its value.</summary>
    private bool TakeOption(string word, string? nextWord)
    {
        var equals = word.StartsWith("--", StringComparison.Ordinal) ? word.IndexOf('=', StringComparison.Ordinal) : -1;
        var name = equals < 0 ? word : word[..equals];
        var value = equals < 0 ? null : word[(equals + 1)..];
        if (LauncherOption.Find(name) is not { } option)
        {
            HasUnknownOption = true;
            _problems.Add(Unknown(name));
        }
        else if (option.ValueName is null && value is not null)
        {
            _problems.Add($"{name} takes no value; write {name} alone instead of {word}.");
        }
        else if (option.ValueName is null || value is not null)
        {
            _values[option] = value ?? "";
        }
        else if (nextWord is not null && !IsOption(nextWord))
        {
            _values[option] = nextWord;
            return true;
        }
        else
        {
            _problems.Add($"{name} needs a value; write {name} {option.ValueName}.");
        }

        return false;
    }
}
