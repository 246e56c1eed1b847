using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Distributed.Tests;

namespace Distributed.Campaigns;

/// <summary>One run of distrun, with a mark in the environment by which all of its processes are found, whatever they are called.</summary>
internal sealed partial class Launch : IDisposable
{
    private const string Mark = "DISTRUN_CAMPAIGN_MARK";
    private const int KillSignal = 9;
    private const int TerminateSignal = 15;
    private const int StopSignal = 19;
    private const int ContinueSignal = 18;

    private readonly string _mark = $"{Mark}={Guid.NewGuid()}";
    private readonly string _folder = Directory.CreateTempSubdirectory("distrun-campaign-").FullName;
    private readonly Process _process;
    private readonly StringBuilder _error = new();
    private readonly Task _errors;
    private readonly Task _output;

    public Launch(IReadOnlyList<string> arguments)
    {
        var configuration = Path.GetFileName(Path.GetDirectoryName(AppContext.BaseDirectory.TrimEnd('/'))!);
        var start = new ProcessStartInfo(Path.Combine(Repository.Root, "launcher", "bin", configuration, "net10.0", "distrun"), arguments)
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Remove("XDG_RUNTIME_DIR");
        start.Environment["TMPDIR"] = _folder;
        start.Environment[Mark] = _mark[(Mark.Length + 1)..];
        _process = Process.Start(start)!;
        _process.StandardInput.Close();
        _errors = ReadErrors();
        _output = _process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
    }

    /// <summary>The launcher's process.</summary>
    public int Id => _process.Id;

    /// <summary>Whether the launcher has ended.</summary>
    public bool HasEnded => _process.HasExited;

    /// <summary>Whether a process is there, be it only to be collected.</summary>
    public static bool Exists(int id) => Directory.Exists($"/proc/{id}");

    /// <summary>Whether a process runs or is stopped.</summary>
    public static bool IsAlive(int id)
    {
        try
        {
            var state = File.ReadAllText($"/proc/{id}/stat");
            return state[state.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>kill -9; whether there was such a process.</summary>
    public static bool Kill(int id) => Kill(id, KillSignal) == 0;

    /// <summary>SIGTERM.</summary>
    public static void Terminate(int id) => _ = Kill(id, TerminateSignal);

    /// <summary>SIGSTOP; whether there was such a process.</summary>
    public static bool Stop(int id) => Kill(id, StopSignal) == 0;

    /// <summary>SIGCONT.</summary>
    public static void Continue(int id) => _ = Kill(id, ContinueSignal);

    /// <summary>What has come on stderr so far.</summary>
    public string ErrorSoFar
    {
        get
        {
            lock (_error)
            {
                return _error.ToString();
            }
        }
    }

    /// <summary>The living processes of this run that have a rank, by rank.</summary>
    public SortedDictionary<int, int> Ranks()
    {
        var ranks = new SortedDictionary<int, int>();
        foreach (var (id, environment) in Processes())
        {
            // What a rank has started in turn has its environment too; the rank itself is the launcher's child.
            if (Variable(environment, "RANK") is { } rank && ParentOf(id) == Id)
            {
                ranks[int.Parse(rank, CultureInfo.InvariantCulture)] = id;
            }
        }

        return ranks;
    }

    /// <summary>The living processes of this run other than the launcher.</summary>
    public int[] Others() => [.. Processes().Select(process => process.Id).Where(id => id != Id)];

    /// <summary>Waits for the launcher's end; <see langword="null"/> where it does not come within the limit.</summary>
    public (int ExitCode, string Error)? WaitForEnd(TimeSpan limit)
        => _process.WaitForExit(limit) && Task.WaitAll([_errors, _output], limit) ? (_process.ExitCode, ErrorSoFar) : null;

    /// <summary>Whether the directory of the job is gone.</summary>
    public bool HasTidiedUp => !Directory.EnumerateDirectories(_folder, "distrun-*").SelectMany(Directory.EnumerateDirectories).Any();

    /// <summary>Kills what is left.</summary>
    public void Dispose()
    {
        foreach (var (id, _) in Processes())
        {
            Kill(id);
        }

        _process.Dispose();
        while (Directory.Exists(_folder))
        {
            try
            {
                Directory.Delete(_folder, recursive: true);
            }
            catch (DirectoryNotFoundException)
            {
                // The guardian of a killed launcher is removing its part at the same moment.
            }
        }
    }

    private async Task ReadErrors()
    {
        var buffer = new char[4096];
        while (await _process.StandardError.ReadAsync(buffer) is > 0 and var count)
        {
            lock (_error)
            {
                _error.Append(buffer, 0, count);
            }
        }
    }

    private static string? Variable(string environment, string name)
        => environment.Split('\0').FirstOrDefault(pair => pair.StartsWith(name + "=", StringComparison.Ordinal))?[(name.Length + 1)..];

    private static int ParentOf(int id)
    {
        try
        {
            var state = File.ReadAllText($"/proc/{id}/stat");
            return int.Parse(state[(state.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private List<(int Id, string Environment)> Processes()
    {
        var processes = new List<(int, string)>();
        foreach (var path in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(path.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                && ReadEnvironment(path) is { } environment && environment.Contains(_mark, StringComparison.Ordinal) && IsAlive(id))
            {
                processes.Add((id, environment));
            }
        }

        return processes;
    }

    private static string? ReadEnvironment(string process)
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "environ"));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int id, int signal);
}
