namespace Distributed.Tests;

/// <summary>What a test may need that a fresh machine lacks; where it is missing the test is skipped with the reason.</summary>
internal static class Requirements
{
    /// <summary>The reason to skip, or <see langword="null"/> where ../shared/data/<paramref name="path"/> exists.</summary>
    public static string? MissingData(string path)
        => Path.Exists(Path.Combine(Repository.SharedData, path)) ? null : $"../shared/data/{path} is not here.";

    /// <summary>The reason to skip, or <see langword="null"/> where every program is on the PATH.</summary>
    public static string? MissingProgram(params string[] programs)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        var missing = programs.Where(program => !folders.Any(folder => File.Exists(Path.Combine(folder, program)))).ToArray();
        return missing.Length == 0 ? null : $"Not on the PATH: {string.Join(", ", missing)}.";
    }
}

/// <summary>A fact that needs ../shared/data/path.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SharedDataFactAttribute : FactAttribute
{
    public SharedDataFactAttribute(string path = ".") => Skip = Requirements.MissingData(path);
}

/// <summary>A theory that needs ../shared/data/path.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SharedDataTheoryAttribute : TheoryAttribute
{
    public SharedDataTheoryAttribute(string path = ".") => Skip = Requirements.MissingData(path);
}

/// <summary>A fact for systems with POSIX processes and signals.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixFactAttribute : FactAttribute
{
    public UnixFactAttribute() => Skip = OperatingSystem.IsWindows() ? "Needs POSIX signals." : null;
}

/// <summary>A theory for systems with POSIX processes and signals.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixTheoryAttribute : TheoryAttribute
{
    public UnixTheoryAttribute() => Skip = OperatingSystem.IsWindows() ? "Needs POSIX signals." : null;
}
