using System.Runtime.InteropServices;

namespace Distributed.Launcher.CommandLine;

/// <summary>Finds the file behind the program that the user named, and how to run it.</summary>
/// <param name="launcherFolder">The folder of distrun, with the bundled worker in worker/.</param>
/// <param name="environment">Looks up an environment variable.</param>
internal sealed class WorkerProgramFinder(string launcherFolder, Func<string, string?> environment)
{
    private const string BundledName = "worker";

    /// <summary>The folder of the dotnet that runs this launcher.</summary>
    public static string DotnetFolder { get; } = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));

    /// <summary>The program, or <see langword="null"/> with a sentence reported to <paramref name="problems"/>.</summary>
    /// <param name="words">[word], the program and its arguments; at least one.</param>
    /// <param name="kind">What the first of them is.</param>
    /// <param name="problems">Receives what is wrong, one sentence.</param>
    public WorkerProgram? Find(IReadOnlyList<string> words, ProgramKind kind, OptionValues problems)
    {
        var name = words[0];
        string[] arguments = [.. words.Skip(1)];
        if (kind == ProgramKind.Module)
        {
            return Interpreted(Python(problems), ["-u", "-m"]);
        }

        if (kind == ProgramKind.Script)
        {
            return IsReadableFile(name, problems) ? Interpreted(Python(problems), ["-u"]) : null;
        }

        if (name == BundledName && kind == ProgramKind.ByName)
        {
            return Bundled(arguments, problems);
        }

        if (name.EndsWith(".py", StringComparison.Ordinal) && kind == ProgramKind.ByName)
        {
            return IsReadableFile(name, problems) ? Interpreted(Python(problems), ["-u"]) : null;
        }

        if (name.EndsWith(".dll", StringComparison.Ordinal) && kind == ProgramKind.ByName)
        {
            return IsReadableFile(name, problems) ? Interpreted(Dotnet(), ["exec"]) : null;
        }

        return Executable(name, problems) is { } path ? new WorkerProgram(Title(name, arguments), path, arguments, IsBundled: false) : null;

        WorkerProgram? Interpreted(string? interpreter, string[] before)
            => interpreter is null ? null : new WorkerProgram(name, interpreter, [.. before, name, .. arguments], IsBundled: false);
    }

    // torchrun: the first argument that is no option where the command is an interpreter, else the command.
    private static string Title(string name, string[] arguments)
        => WorkerProgram.AssemblyOf(name, arguments)
            ?? (Path.GetFileName(name) is var file && (file.StartsWith("python", StringComparison.Ordinal) || file == "dotnet")
                ? arguments.FirstOrDefault(argument => !argument.StartsWith('-')) ?? name
                : name);

    private static string? Hint(string name) => Path.GetFileName(name) switch
    {
        "example_text_completion.py" => "the bundled \"worker complete\" takes the same options",
        "example_chat_completion.py" => "the bundled \"worker chat\" takes the same options",
        _ => null,
    };

    private static bool IsReadableFile(string name, OptionValues problems)
    {
        if (Directory.Exists(name))
        {
            problems.Report($"{name} is a directory, not a program; name a file in it.");
        }
        else if (!File.Exists(name))
        {
            problems.Report($"{name} does not exist; {Hint(name) ?? $"check the path, which is taken from {Environment.CurrentDirectory}"}.");
        }
        else
        {
            return true;
        }

        return false;
    }

    private WorkerProgram? Bundled(string[] arguments, OptionValues problems)
    {
        var program = Path.Combine(launcherFolder, BundledName, OperatingSystem.IsWindows() ? "worker.exe" : "worker");
        if (File.Exists(program))
        {
            return new WorkerProgram(BundledName, program, arguments, IsBundled: true);
        }

        var assembly = Path.Combine(launcherFolder, BundledName, "worker.dll");
        if (File.Exists(assembly))
        {
            return new WorkerProgram(BundledName, Dotnet(), ["exec", assembly, .. arguments], IsBundled: true);
        }

        problems.Report($"The bundled worker is not at {program}; build the launcher again (dotnet build -c Release), "
            + "or name another program as ./worker.");
        return null;
    }

    private string? Python(OptionValues problems)
    {
        var named = environment("PYTHON_EXEC") is { Length: > 0 } name ? name : null;
        var path = Locate(named ?? "python3");
        if (path is null)
        {
            problems.Report(named is null
                ? "python3 is not on the PATH; install it, or name an interpreter with PYTHON_EXEC."
                : $"PYTHON_EXEC={named} is not an executable file; name the Python interpreter.");
        }

        return path;
    }

    // The runtime's folder is <dotnet>/shared/Microsoft.NETCore.App/<version>/.
    private static string Dotnet() => Path.Combine(DotnetFolder, OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet");

    private string? Executable(string name, OptionValues problems)
    {
        if (Locate(name) is { } path)
        {
            return path;
        }

        if (IsPath(name))
        {
            if (IsReadableFile(name, problems))
            {
                problems.Report($"{name} may not be executed; make it executable (chmod +x), or put its interpreter before it.");
            }

            return null;
        }

        problems.Report(Directory.Exists(name) ? $"{name} is a directory, not a program; name a file in it."
            : File.Exists(name) ? $"{name} is not on the PATH; write ./{name} for the file in this folder."
            : $"{name} is not a program on the PATH; {Hint(name) ?? "check its name, or write a path with a slash"}.");
        return null;
    }

    private static bool IsPath(string name)
        => name.Contains('/', StringComparison.Ordinal) || (OperatingSystem.IsWindows() && name.Contains('\\', StringComparison.Ordinal));

    /// <summary>The executable that a shell would run for <paramref name="name"/>, or <see langword="null"/>.</summary>
    private string? Locate(string name)
    {
        if (IsPath(name))
        {
            return IsExecutable(name) ? name : null;
        }

        foreach (var folder in (environment("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            var candidate = Path.Combine(folder, name);
            if (IsExecutable(candidate))
            {
                return candidate;
            }

            if (OperatingSystem.IsWindows() && IsExecutable(candidate + ".exe"))
            {
                return candidate + ".exe";
            }
        }

        return null;
    }

    private static bool IsExecutable(string path)
        => File.Exists(path)
            && (OperatingSystem.IsWindows()
                || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0);
}
