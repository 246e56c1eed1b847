namespace Distributed.Launcher.CommandLine;

/// <summary>What the user's first word is.</summary>
internal enum ProgramKind
{
    /// <summary>Its name says it: .py, .dll, the bundled worker, or an executable.</summary>
    ByName,

    /// <summary>An executable, whatever its name ends with.</summary>
    Executable,

    /// <summary>A Python script, whatever its name ends with.</summary>
    Script,

    /// <summary>A Python module.</summary>
    Module,
}

/// <summary>The program that every rank runs.</summary>
/// <param name="Title">What the failure report calls it.</param>
/// <param name="Path">The executable file.</param>
/// <param name="Arguments">[argument], what the user typed, with those of an interpreter before.</param>
/// <param name="IsBundled">
/// Whether it is the worker that comes with the launcher, which knows the whole contract (envelope, preflight).
/// </param>
internal sealed record WorkerProgram(string Title, string Path, IReadOnlyList<string> Arguments, bool IsBundled)
{
    private const string LocalRankMacro = "${local_rank}";

    /// <summary>Whether its ranks are told the job's secret over stdin, by which they find each other in the job's store.</summary>
    public bool TakesEnvelope { get; } = IsBundled
        || EnvelopeRequest.IsMadeBy(AssemblyOf(Path, Arguments) ?? Path);

    /// <summary>Whether it runs on .NET: an assembly, or the executable that lies beside one.</summary>
    public bool IsDotnet { get; } = AssemblyOf(Path, Arguments) is not null
        || File.Exists((Path.EndsWith(".exe", StringComparison.Ordinal) ? Path[..^4] : Path) + ".runtimeconfig.json");

    /// <summary>The assembly that dotnet runs, where the program is dotnet: as in <c>dotnet my.dll</c> and <c>dotnet exec my.dll</c>.</summary>
    /// <param name="path">The executable file.</param>
    /// <param name="arguments">[argument], its arguments, of which only options and their values may stand before the assembly.</param>
    public static string? AssemblyOf(string path, IReadOnlyList<string> arguments)
        => System.IO.Path.GetFileNameWithoutExtension(path) == "dotnet"
            ? arguments.FirstOrDefault(argument => argument.EndsWith(".dll", StringComparison.Ordinal))
            : null;

    /// <summary>The arguments of one rank: <c>${local_rank}</c> in them becomes its number.</summary>
    public IReadOnlyList<string> ArgumentsOf(int localRank)
        => [.. Arguments.Select(argument => argument.Replace(
            LocalRankMacro, localRank.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal))];
}
