namespace Distributed.Worker.Options;

/// <summary>One option of a command: a flag of the command line and, under the same name, a key of a config file.</summary>
/// <param name="Name">With hyphens, without the leading ones: <c>max-seq-len</c>.</param>
/// <param name="ValueName">How the help calls its value; <see langword="null"/> for a switch.</param>
/// <param name="Description">One line for the help.</param>
internal sealed record OptionDefinition(string Name, string? ValueName, string Description)
{
    /// <summary>Whether it may be given several times; otherwise the last one counts.</summary>
    public bool Repeats { get; init; }

    /// <summary>Whether it names a file or folder, which in a config file is relative to that file.</summary>
    public bool IsPath { get; init; }

    /// <summary>Whether only config files have it.</summary>
    public bool ConfigOnly { get; init; }

    /// <summary>Another name of the key in config files, where a list reads better in the plural.</summary>
    public string? ConfigPlural { get; init; }

    /// <summary>The spelling of Meta's scripts, <c>max_seq_len</c>.</summary>
    public string UnderscoreName => Name.Replace('-', '_');
}
