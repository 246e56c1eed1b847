using Distributed.Collectives;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.CommandLine;

/// <summary>Turns options and their PET_ defaults into <see cref="LaunchOptions"/>; every mistake is reported to the values.</summary>
/// <param name="values">The options.</param>
internal sealed class LaunchOptionsReader(OptionValues values)
{
    /// <summary>The last rank has the socket r999.sock.</summary>
    private const int MaxLocalWorldSize = 1000;

    private const string DefaultAddress = "127.0.0.1";

    private readonly List<string> _notes = [];

    /// <summary>Reads everything but the program; what is wrong has its default in the result.</summary>
    /// <param name="program">The program; <see langword="null"/> where it was not found, which has been said.</param>
    /// <returns><see langword="null"/> where there is no program.</returns>
    public LaunchOptions? Read(WorkerProgram? program)
    {
        var standalone = values.Flag(LauncherOption.Standalone);
        var localWorldSize = LocalWorldSize();
        var nodes = new NodeOptionsReader(values, _notes).Read(standalone);
        if (!nodes.IsOneNode)
        {
            CheckNodes(nodes);
        }

        var restarts = Restarts();
        var shutdownTimeout = values.Seconds(LauncherOption.ShutdownTimeout, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", 30);
        var signals = SignalsToHandle();
        var logs = new LogOptionsReader(values).Read();
        var virtualLocalRank = values.Flag(LauncherOption.VirtualLocalRank);
        if (virtualLocalRank && Gpus.CountVisible(values.Variable(Gpus.VisibleDevices)) is var visible && visible < localWorldSize)
        {
            values.Report($"--virtual-local-rank gives each of the {localWorldSize} ranks a GPU, and {Gpus.VisibleDevices} "
                + $"names {visible}; start fewer ranks, or name more GPUs.");
        }

        CheckWhatNeedsNothingHere();
        var placement = new PlacementOptionsReader(values, _notes);
        var mesh = placement.Mesh(nodes, localWorldSize);
        var cpus = placement.Cpus(localWorldSize, virtualLocalRank);
        var dryRun = values.Flag(LauncherOption.DryRun);
        var plainPlatform = values.Flag(LauncherOption.PlainPlatform);
        var (masterAddress, masterPort) = Master(standalone, nodes);
        return program is null ? null : new LaunchOptions
        {
            LocalWorldSize = localWorldSize,
            Program = program,
            Role = values.Text(LauncherOption.Role) ?? "default",
            RunId = standalone ? Guid.NewGuid().ToString() : values.Text(LauncherOption.RdzvId) ?? "none",
            Nodes = nodes,
            MasterAddress = masterAddress,
            MasterPort = masterPort,
            VirtualLocalRank = virtualLocalRank,
            Cpus = cpus,
            Mesh = mesh,
            DryRun = dryRun,
            PlainPlatform = plainPlatform,
            Restarts = restarts,
            HangPatience = values.Seconds(LauncherOption.HangTimeout, 5, mayBeZero: true),
            ShutdownTimeout = shutdownTimeout,
            SignalsToHandle = signals,
            Logs = logs,
            Notes = _notes,
        };
    }

    /// <summary>The program of the command line, with the options that say how to run it.</summary>
    public WorkerProgram? FindProgram(IReadOnlyList<string> words, WorkerProgramFinder finder)
    {
        var (module, noPython, runPath)
            = (values.Flag(LauncherOption.Module), values.Flag(LauncherOption.NoPython), values.Flag(LauncherOption.RunPath));
        if (module && noPython)
        {
            values.Report("--no-python and --module exclude each other: a module is run by Python; leave one of them out.");
            return null;
        }

        if (module && runPath)
        {
            values.Report("--run-path and --module exclude each other: one takes a file, the other a module; leave one of them out.");
            return null;
        }

        if (words.Count == 0)
        {
            values.Report("No program is given; write it after the options, for example: "
                + "distrun --nproc-per-node 2 worker complete --config configs/demo.json.");
            return null;
        }

        // torchrun lets --run-path win over --no-python.
        var kind = module ? ProgramKind.Module
            : runPath ? ProgramKind.Script
            : noPython ? ProgramKind.Executable
            : ProgramKind.ByName;
        return finder.Find(words, kind, values);
    }

    private void CheckNodes(NodeOptions nodes)
    {
        var source = $"{values.Source(LauncherOption.Nnodes)} {values.Text(LauncherOption.Nnodes)}";
        if (nodes.MaxNodes > RendezvousState.MaxNodeCount)
        {
            values.Report($"{source}: a rendezvous takes {RendezvousState.MaxNodeCount} nodes; name fewer, with more ranks on each.");
        }

        if (nodes.Backend == RendezvousBackend.Static && nodes.MinNodes != nodes.MaxNodes)
        {
            values.Report($"{source}: with the static backend the number of nodes is fixed; write one number, or --rdzv-backend c10d.");
        }

        if (nodes.EndpointPort == 0)
        {
            values.Report($"{values.Source(LauncherOption.RdzvEndpoint)} has port 0, which no other node can know; name a port.");
        }

        try
        {
            _ = new RendezvousSettings(nodes.Configuration);
        }
        catch (RendezvousClosedException exception)
        {
            values.Report(exception.Message);
        }
    }

    private int LocalWorldSize()
    {
        var option = LauncherOption.NprocPerNode;
        var text = values.Text(option) ?? "1";
        switch (text)
        {
            case "cpu":
                return Environment.ProcessorCount;
            case "gpu":
                var gpus = Gpus.CountVisible();
                if (gpus == 0)
                {
                    values.Report($"{values.Source(option)} gpu: no NVIDIA GPU (CUDA) is visible here; use cpu, auto or a number.");
                }

                return gpus;
            case "auto":
                return Gpus.CountVisible() is > 0 and var visible ? visible : Environment.ProcessorCount;
            default:
                if (OptionValues.TryParse(text, out var count) && count is >= 1 and <= MaxLocalWorldSize)
                {
                    return count;
                }

                values.Report($"{values.Source(option)} {text} is none of auto, cpu, gpu or a number from 1 to {MaxLocalWorldSize}; choose one of them.");
                return 1;
        }
    }

    /// <summary>MASTER_ADDR and MASTER_PORT of one node. What was named wins, and what was named is used as it is.</summary>
    private (string Address, int Port) Master(bool standalone, NodeOptions nodes)
    {
        if (standalone)
        {
            return (DefaultAddress, 0);
        }

        var isStaticEndpoint = nodes.Backend == RendezvousBackend.Static && values.Text(LauncherOption.RdzvEndpoint) is not null;
        var address = values.Text(LauncherOption.MasterAddr) ?? (isStaticEndpoint ? nodes.EndpointHost : nodes.LocalAddress) ?? DefaultAddress;
        var port = nodes.Backend == RendezvousBackend.Static ? nodes.EndpointPort : values.Number(LauncherOption.MasterPort, 0, 0, ushort.MaxValue);
        return (address, port);
    }

    private RestartLimits Restarts() => new()
    {
        MaxRestarts = values.Number(LauncherOption.MaxRestarts, 0, 0, int.MaxValue),
        Window = values.Seconds(LauncherOption.MaxRestartsWindow, 0, mayBeZero: true),
        MinUptime = values.Seconds(LauncherOption.MinUptime, 5, mayBeZero: true),
        Backoff = values.Seconds(LauncherOption.RestartBackoff, 0.5, mayBeZero: true),
        NoRestartExitCodes = values.Numbers(LauncherOption.NoRestartExitCodes, 1, 255, "exit codes", "2,93"),
    };

    private IReadOnlyList<int> SignalsToHandle()
    {
        if (values.Text(LauncherOption.SignalsToHandle) is not { } text)
        {
            return Signals.Terminating;
        }

        var signals = new List<int>();
        foreach (var name in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var number = Signals.NumberOf(name);
            if (number is null or Signals.Kill || number == Signals.Stop)
            {
                var source = values.Source(LauncherOption.SignalsToHandle);
                _notes.Add($"{source}: {name} is no signal that can be handled on this system; it is passed over.");
            }
            else if (!signals.Contains(number.Value))
            {
                signals.Add(number.Value);
            }
        }

        return signals;
    }

    private void CheckWhatNeedsNothingHere()
    {
        values.Seconds(LauncherOption.MonitorInterval, 0.1, mayBeZero: false);
        values.Choice(LauncherOption.StartMethod, "spawn", "spawn", "fork", "forkserver");
    }
}
