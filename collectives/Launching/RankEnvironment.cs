using System.Collections;
using System.Globalization;

namespace Distributed.Collectives.Launching;

/// <summary>
/// torchrun's contract between launcher and worker: what a ranked process is told by environment variables, written by
/// <c>distrun</c> and read by any program. The names are torch.distributed.elastic's (<c>LocalElasticAgent._start_workers</c>); those that
/// begin with <c>DISTRUN_</c> are ours.
/// </summary>
public sealed record RankEnvironment
{
    /// <summary>Global rank, 0 to <see cref="WorldSize"/> - 1.</summary>
    public required int Rank { get; init; }

    /// <summary>Index on this node, 0 to <see cref="LocalWorldSize"/> - 1.</summary>
    public required int LocalRank { get; init; }

    /// <summary>Ranks of the whole job.</summary>
    public required int WorldSize { get; init; }

    /// <summary>Ranks on this node.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>Rank of this node among the nodes.</summary>
    public int GroupRank { get; init; }

    /// <summary>Number of nodes.</summary>
    public int GroupWorldSize { get; init; } = 1;

    /// <summary>The launcher's <c>--role</c>.</summary>
    public string RoleName { get; init; } = "default";

    /// <summary>Rank among the workers of the same role.</summary>
    public int RoleRank { get; init; }

    /// <summary>Workers of the same role.</summary>
    public int RoleWorldSize { get; init; } = 1;

    /// <summary>Host on which a program's own store (torch's TCPStore, say) may listen.</summary>
    public string MasterAddress { get; init; } = "127.0.0.1";

    /// <summary>Port for it.</summary>
    public int MasterPort { get; init; }

    /// <summary>How often the group has been restarted; the epoch of everything the ranks exchange.</summary>
    public int RestartCount { get; init; }

    /// <summary>How often it may be restarted.</summary>
    public int MaxRestarts { get; init; }

    /// <summary>The launcher's <c>--rdzv-id</c>.</summary>
    public string RunId { get; init; } = "none";

    /// <summary>Whether workers use a store of the launcher's at MASTER_ADDR:MASTER_PORT, rather than one that rank 0 opens there.</summary>
    public bool UseAgentStore { get; init; }

    /// <summary>Where a failing worker writes its error.json; <see langword="null"/> for nowhere.</summary>
    public string? ErrorFile { get; init; }

    /// <summary><c>DISTRUN_STORE</c>: address of the rendezvous store, <c>unix:/path</c> or <c>https://host:port</c>.</summary>
    public string? StoreAddress { get; init; }

    /// <summary><c>DISTRUN_RUNTIME_DIR</c>: directory of this job, mode 0700, for sockets.</summary>
    public string? RuntimeDirectory { get; init; }

    /// <summary><c>DISTRUN_ENVELOPE</c>: whether the job envelope comes over stdin (see <see cref="JobEnvelope"/>).</summary>
    public bool HasEnvelope { get; init; }

    /// <summary>A process that nobody launched: the only rank of its world.</summary>
    public static RankEnvironment Alone { get; } = new() { Rank = 0, LocalRank = 0, WorldSize = 1, LocalWorldSize = 1 };

    /// <summary>Reads this process's environment; <see cref="Alone"/> where neither RANK nor WORLD_SIZE is set.</summary>
    /// <exception cref="RankEnvironmentException">A variable is missing or does not fit the others.</exception>
    public static RankEnvironment FromProcess()
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            variables[(string)variable.Key] = (string?)variable.Value ?? "";
        }

        return FromVariables(variables);
    }

    /// <summary>Reads a set of variables; <see cref="Alone"/> where neither RANK nor WORLD_SIZE is among them.</summary>
    /// <inheritdoc cref="FromProcess" path="/exception"/>
    public static RankEnvironment FromVariables(IReadOnlyDictionary<string, string> variables)
    {
        ArgumentNullException.ThrowIfNull(variables);
        if (!variables.ContainsKey("RANK") && !variables.ContainsKey("WORLD_SIZE"))
        {
            return Alone;
        }

        var worldSize = Number("WORLD_SIZE", 1, int.MaxValue);
        var localWorldSize = Number("LOCAL_WORLD_SIZE", 1, worldSize, worldSize);
        return new RankEnvironment
        {
            WorldSize = worldSize,
            LocalWorldSize = localWorldSize,
            Rank = Number("RANK", 0, worldSize - 1),
            LocalRank = Number("LOCAL_RANK", 0, localWorldSize - 1),
            GroupRank = Number("GROUP_RANK", 0, int.MaxValue, 0),
            GroupWorldSize = Number("GROUP_WORLD_SIZE", 1, int.MaxValue, 1),
            RoleName = Text("ROLE_NAME") ?? "default",
            RoleRank = Number("ROLE_RANK", 0, int.MaxValue, 0),
            RoleWorldSize = Number("ROLE_WORLD_SIZE", 1, int.MaxValue, 1),
            MasterAddress = Text("MASTER_ADDR") ?? "127.0.0.1",
            MasterPort = Number("MASTER_PORT", 0, 65535, 0),
            RestartCount = Number("TORCHELASTIC_RESTART_COUNT", 0, int.MaxValue, 0),
            MaxRestarts = Number("TORCHELASTIC_MAX_RESTARTS", 0, int.MaxValue, 0),
            RunId = Text("TORCHELASTIC_RUN_ID") ?? "none",
            UseAgentStore = Text("TORCHELASTIC_USE_AGENT_STORE") == "True",
            ErrorFile = Text("TORCHELASTIC_ERROR_FILE"),
            StoreAddress = Text("DISTRUN_STORE"),
            RuntimeDirectory = Text("DISTRUN_RUNTIME_DIR"),
            HasEnvelope = Text("DISTRUN_ENVELOPE") == "1",
        };

        string? Text(string name) => variables.TryGetValue(name, out var value) && value.Length > 0 ? value : null;

        int Number(string name, int minimum, int maximum, int? absent = null)
        {
            if (Text(name) is not { } text)
            {
                return absent ?? throw new RankEnvironmentException(
                    $"The environment has {(name == "RANK" ? "WORLD_SIZE" : "RANK")} but no {name}; start this program with distrun, which sets both.");
            }

            return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= minimum && number <= maximum
                ? number
                : throw new RankEnvironmentException($"{name}={text} is not a number from {minimum} to {maximum}; start this program with distrun.");
        }
    }

    /// <summary>The variables that a worker with this environment is started with.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToVariables()
    {
        yield return Number("RANK", Rank);
        yield return Number("LOCAL_RANK", LocalRank);
        yield return Number("WORLD_SIZE", WorldSize);
        yield return Number("LOCAL_WORLD_SIZE", LocalWorldSize);
        yield return Number("GROUP_RANK", GroupRank);
        yield return Number("GROUP_WORLD_SIZE", GroupWorldSize);
        yield return new("ROLE_NAME", RoleName);
        yield return Number("ROLE_RANK", RoleRank);
        yield return Number("ROLE_WORLD_SIZE", RoleWorldSize);
        yield return new("MASTER_ADDR", MasterAddress);
        yield return Number("MASTER_PORT", MasterPort);
        yield return Number("TORCHELASTIC_RESTART_COUNT", RestartCount);
        yield return Number("TORCHELASTIC_MAX_RESTARTS", MaxRestarts);
        yield return new("TORCHELASTIC_RUN_ID", RunId);
        yield return new("TORCHELASTIC_USE_AGENT_STORE", UseAgentStore ? "True" : "False");
        yield return new("TORCHELASTIC_ERROR_FILE", ErrorFile ?? "");
        yield return new("DISTRUN_STORE", StoreAddress ?? "");
        yield return new("DISTRUN_RUNTIME_DIR", RuntimeDirectory ?? "");
        yield return new("DISTRUN_ENVELOPE", HasEnvelope ? "1" : "");

        static KeyValuePair<string, string> Number(string name, int value) => new(name, value.ToString(CultureInfo.InvariantCulture));
    }
}

/// <summary>The environment of this process is not one that a launcher makes; the message names the variable.</summary>
public sealed class RankEnvironmentException(string message) : Exception(message);
