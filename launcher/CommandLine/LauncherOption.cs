namespace Distributed.Launcher.CommandLine;

/// <summary>One option of the command line. Every name may also be written with _ for -, and has a PET_ variable for its default.</summary>
/// <param name="Name">The long name, with its dashes.</param>
/// <param name="ValueName">What its value is called in --help; <see langword="null"/> for a flag, which takes none.</param>
/// <param name="Description">One line for --help.</param>
/// <param name="Alias">The short name, with its dash.</param>
internal sealed partial record LauncherOption(string Name, string? ValueName, string Description, string? Alias = null)
{
    /// <summary>The environment variable that holds its default.</summary>
    public string Variable { get; } = "PET_" + Name[2..].Replace('-', '_').ToUpperInvariant();

    /// <summary>The option that <paramref name="name"/> spells, in either spelling or by its short name.</summary>
    public static LauncherOption? Find(string name)
    {
        var spelled = name.StartsWith("--", StringComparison.Ordinal) ? name.Replace('_', '-') : name;
        foreach (var (_, options) in Groups)
        {
            foreach (var option in options)
            {
                if (option.Name == spelled || option.Alias == name)
                {
                    return option;
                }
            }
        }

        return null;
    }
}
