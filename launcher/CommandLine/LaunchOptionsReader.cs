using System.Globalization;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.CommandLine;

/// <summary>Turns options and their PET_ defaults into <see cref="LaunchOptions"/>, and collects every mistake on the way.</summary>
/// <param name="given">
/// Looks up the value of an option on the command line, "" for a flag; <see langword="null"/> where it is not given.
/// </param>
/// <param name="environment">Looks up an environment variable.</param>
/// <param name="problems">Receives the mistakes, one sentence each: value, rule, next step.</param>
internal sealed class LaunchOptionsReader(Func<LauncherOption, string?> given, Func<string, string?> environment, List<string> problems)
{
    /// <summary>The last rank has the socket r999.sock.</summary>
    private const int MaxLocalWorldSize = 1000;

    private const double MaxSeconds = 1_000_000;

    /// <summary>Reads everything but the program; what is wrong has its default in the result.</summary>
    /// <param name="program">The program; <see langword="null"/> where it was not found, which has been said.</param>
    /// <returns><see langword="null"/> where there is no program.</returns>
    public LaunchOptions? Read(WorkerProgram? program)
    {
        var localWorldSize = LocalWorldSize();
        RequireOneNode();
        var restarts = Restarts();
        RefuseWhatIsNotSupported();
        Seconds(LauncherOption.MonitorInterval, 0.1, mayBeZero: false);
        RequireKnownStartMethod();
        var hangTimeout = Seconds(LauncherOption.HangTimeout, 5, mayBeZero: true);
        var shutdownTimeout = Seconds(LauncherOption.ShutdownTimeout, DefaultShutdownSeconds(), mayBeZero: true);
        var masterPort = Number(LauncherOption.MasterPort, 0, 0, 65535);
        Number(LauncherOption.NodeRank, 0, 0, 0);
        var logDirectory = LogDirectory();
        var standalone = Flag(LauncherOption.Standalone);
        return program is null ? null : new LaunchOptions
        {
            LocalWorldSize = localWorldSize,
            Program = program,
            Role = Text(LauncherOption.Role) ?? "default",
            RunId = standalone ? Guid.NewGuid().ToString() : Text(LauncherOption.RdzvId) ?? "none",
            MasterAddress = standalone ? "127.0.0.1" : Text(LauncherOption.MasterAddr) ?? "127.0.0.1",
            MasterPort = standalone ? 0 : masterPort,
            LogDirectory = logDirectory,
            PrefixTemplate = given(LauncherOption.LogLinePrefixTemplate)
                ?? environment(LauncherOption.LogLinePrefixTemplate.Variable) ?? environment("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"),
            Restarts = restarts,
            HangPatience = TimeSpan.FromSeconds(hangTimeout),
            ShutdownTimeout = TimeSpan.FromSeconds(shutdownTimeout),
        };
    }

    /// <summary>The program of the command line, with the options that say how to run it.</summary>
    public WorkerProgram? FindProgram(IReadOnlyList<string> words, WorkerProgramFinder finder)
    {
        var module = Flag(LauncherOption.Module);
        var noPython = Flag(LauncherOption.NoPython);
        if (module && noPython)
        {
            problems.Add("--no-python and --module exclude each other: a module is run by Python; leave one of them out.");
            return null;
        }

        if (words.Count == 0)
        {
            problems.Add("No program is given; write it after the options, for example: "
                + "distrun --nproc-per-node 2 worker complete --config configs/demo.json.");
            return null;
        }

        return finder.Find(words, noPython, module, problems);
    }

    private int LocalWorldSize()
    {
        var option = LauncherOption.NprocPerNode;
        var text = Text(option) ?? "1";
        switch (text)
        {
            case "cpu":
                return Environment.ProcessorCount;
            case "gpu":
                var gpus = Gpus.CountVisible();
                if (gpus == 0)
                {
                    problems.Add($"{Source(option)} gpu: no NVIDIA GPU (CUDA) is visible here; use cpu, auto or a number.");
                }

                return gpus;
            case "auto":
                return Gpus.CountVisible() is > 0 and var visible ? visible : Environment.ProcessorCount;
            default:
                if (TryParse(text, out var count) && count is >= 1 and <= MaxLocalWorldSize)
                {
                    return count;
                }

                problems.Add($"{Source(option)} {text} is none of auto, cpu, gpu or a number from 1 to {MaxLocalWorldSize}; choose one of them.");
                return 1;
        }
    }

    private void RequireOneNode()
    {
        var text = Text(LauncherOption.Nnodes) ?? "1";
        var parts = text.Split(':');
        var numbers = parts.Select(part => TryParse(part, out var number) ? number : 0).ToArray();
        if (parts.Length > 2 || numbers[0] < 1 || numbers[^1] < numbers[0])
        {
            problems.Add($"{Source(LauncherOption.Nnodes)} {text} is neither N nor MIN:MAX with 1 <= MIN <= MAX; write 1.");
        }
        else if (numbers[^1] > 1)
        {
            problems.Add($"{Source(LauncherOption.Nnodes)} {text}: several nodes are not supported yet; write 1 and start one job a node.");
        }
    }

    private RestartLimits Restarts() => new()
    {
        MaxRestarts = Number(LauncherOption.MaxRestarts, 0, 0, int.MaxValue),
        Window = TimeSpan.FromSeconds(Seconds(LauncherOption.MaxRestartsWindow, 0, mayBeZero: true)),
        MinUptime = TimeSpan.FromSeconds(Seconds(LauncherOption.MinUptime, 5, mayBeZero: true)),
        Backoff = TimeSpan.FromSeconds(Seconds(LauncherOption.RestartBackoff, 0.5, mayBeZero: true)),
        NoRestartExitCodes = ExitCodes(),
    };

    private int[] ExitCodes()
    {
        if (Text(LauncherOption.NoRestartExitCodes) is not { } text)
        {
            return [];
        }

        var codes = text.Split(',').Select(part => TryParse(part, out var code) ? code : 0).ToArray();
        if (codes.All(code => code is >= 1 and <= 255))
        {
            return codes;
        }

        problems.Add($"{Source(LauncherOption.NoRestartExitCodes)} {text} is not a list of exit codes from 1 to 255; write 2,93, say.");
        return [];
    }

    private void RequireKnownStartMethod()
    {
        if (Text(LauncherOption.StartMethod) is { } method and not ("spawn" or "fork" or "forkserver"))
        {
            problems.Add($"{Source(LauncherOption.StartMethod)} {method} is none of spawn, fork and forkserver; leave it out.");
        }
    }

    private void RefuseWhatIsNotSupported()
    {
        foreach (var option in LauncherOption.Refused)
        {
            if (given(option) is not null)
            {
                problems.Add($"{option.Name} is not supported yet; {option.Refusal}.");
            }
            else if (environment(option.Variable) is { Length: > 0 } value && !(option.ValueName is null && value == "0"))
            {
                problems.Add($"{option.Variable}={value}: {option.Name} is not supported yet; {option.Refusal}.");
            }
        }
    }

    private string? LogDirectory()
    {
        if (Text(LauncherOption.LogDir) is not { } folder)
        {
            return null;
        }

        if (File.Exists(folder) && folder != "/dev/null")
        {
            problems.Add($"{Source(LauncherOption.LogDir)} {folder} is a file; name a folder, which is made if need be.");
        }

        return folder;
    }

    private double DefaultShutdownSeconds()
    {
        const string Variable = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT";
        if (environment(Variable) is not { Length: > 0 } text)
        {
            return 30;
        }

        return ParseSeconds(Variable + "=", text, 30, mayBeZero: true);
    }

    private double Seconds(LauncherOption option, double absent, bool mayBeZero)
        => Text(option) is { } text ? ParseSeconds(Source(option) + " ", text, absent, mayBeZero) : absent;

    private double ParseSeconds(string source, string text, double absent, bool mayBeZero)
    {
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)
            && seconds <= MaxSeconds && (mayBeZero || seconds > 0))
        {
            return seconds;
        }

        var rule = mayBeZero ? "from 0" : "above 0";
        problems.Add(string.Create(
            CultureInfo.InvariantCulture, $"{source}{text} is not a number of seconds {rule} to {MaxSeconds:0}; write {absent}, say."));
        return absent;
    }

    private int Number(LauncherOption option, int absent, int minimum, int maximum)
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
        problems.Add($"{Source(option)} {text} {rule}; write {absent}, say.");
        return absent;
    }

    private static bool TryParse(string text, out int number)
        => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private bool Flag(LauncherOption option)
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
                problems.Add($"{option.Variable}={value} is neither 1 nor 0; set it to one of them.");
                return false;
        }
    }

    // The command line wins over the variable, which only replaces the default.
    private string? Text(LauncherOption option)
        => given(option) ?? (environment(option.Variable) is { Length: > 0 } value ? value : null);

    private string Source(LauncherOption option) => given(option) is null ? option.Variable : option.Name;
}
