using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Placement;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>What each rank is started as: the program, its arguments, its environment and its CPUs.</summary>
internal sealed class RankCommands
{
    private readonly LaunchOptions _options;
    private readonly WorkerEnvironment _environment = new(Environment.GetEnvironmentVariables());

    public RankCommands(LaunchOptions options)
    {
        _options = options;
        if (options.LocalWorldSize > 1)
        {
            // The bundled worker shares the cores out by itself, and says so.
            ShareNote = _environment.ShareCores(CoresOfOneRank(), options.Program.IsDotnet) is { } variables && !options.Program.IsBundled
                ? string.Create(CultureInfo.InvariantCulture, $"{variables} for each rank ({Cores()}); set it to choose another number.")
                : null;
        }
    }

    /// <summary>What was chosen about the ranks' shares of the cores, a sentence; <see langword="null"/> where nothing was.</summary>
    public string? ShareNote { get; }

    /// <summary>The start of one rank.</summary>
    /// <param name="rank">Where it stands, and what this attempt has for it.</param>
    public ChildCommand Of(RankEnvironment rank)
    {
        var variables = _environment.Of(rank with
        {
            LocalRank = _options.VirtualLocalRank ? 0 : rank.LocalRank,
            RoleName = _options.Role,
            MaxRestarts = _options.Restarts.MaxRestarts,
            RunId = _options.RunId,
            HasEnvelope = _options.Program.TakesEnvelope,
        });
        if (_options.VirtualLocalRank)
        {
            variables[Gpus.VisibleDevices] = Gpus.DeviceOf(rank.LocalRank, variables.GetValueOrDefault(Gpus.VisibleDevices));
        }

        foreach (var (name, value) in _options.Mesh?.VariablesOf(rank.Rank) ?? [])
        {
            variables[name] = value;
        }

        var input = _options.Program.TakesEnvelope ? ChildInput.Pipe : ChildInput.Inherited;
        return Command(rank.LocalRank, variables, input) with { Cpus = _options.Cpus?[rank.LocalRank] };
    }

    /// <summary>The run of the bundled worker that checks its input.</summary>
    public ChildCommand OfPreflight(int worldSize, string jobDirectory)
    {
        var variables = _environment.OfPreflight(worldSize, jobDirectory);
        if (_options.Mesh is { } mesh)
        {
            variables[RankMesh.Variable] = mesh.ToString();
        }

        return Command(0, variables, ChildInput.Empty);
    }

    private ChildCommand Command(int localRank, Dictionary<string, string> variables, ChildInput input)
    {
        if (_options.Program.IsBundled)
        {
            // Its host looks for the runtime by itself; it is to find the one that the launcher runs on.
            variables.TryAdd("DOTNET_ROOT", WorkerProgramFinder.DotnetFolder);
        }

        return new ChildCommand(_options.Program.Path, _options.Program.ArgumentsOf(localRank), variables, input);
    }

    /// <summary>The least that a rank has to itself of the CPUs that it is bound to, or of all.</summary>
    private int CoresOfOneRank()
        => _options.Cpus is { } bound
            ? bound.Min(cpus => cpus.Length / bound.Count(others => others.SequenceEqual(cpus)))
            : Environment.ProcessorCount / _options.LocalWorldSize;

    private string Cores()
        => _options.Cpus is null
            ? $"{Environment.ProcessorCount} cores / {_options.LocalWorldSize} ranks"
            : "its part of the CPUs that it is bound to";
}
