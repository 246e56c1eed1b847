using System.Diagnostics;
using System.Globalization;
using System.Runtime.ExceptionServices;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;
using Distributed.Worker.Options;
using Distributed.Worker.Output;

namespace Distributed.Worker.Running;

/// <summary>One rank from the rendezvous to the end: it joins the group, loads its shard, then leads (rank 0) or follows.</summary>
/// <param name="environment">Who this rank is.</param>
/// <param name="link">Its tie to the launcher.</param>
/// <param name="started">Timestamp of the start of the process; in a later group, of the loss of the one before.</param>
internal sealed class RankProcess(RankEnvironment environment, LauncherLink link, long started)
{
    private const uint LoadedTag = 0x4C4F4144; // "LOAD"
    private const uint PlacedTag = 0x504C4143; // "PLAC"

    // Ranks read their shards at the speed of their disks; one that dies meanwhile is noticed at once.
    private static readonly TimeSpan LoadLimit = TimeSpan.FromMinutes(30);

    private JobEnvelope? _envelope = link.Envelope; // of this rank's attempt

    /// <summary>Runs the rank on this thread, which drives the forward pass and stays bound to a processor where <see cref="RankBinding"/> says so.</summary>
    /// <exception cref="BadInputException">The command line, or what it names, cannot be used.</exception>
    public void Run(CommandLine line)
    {
        // The ranks find each other while each reads and checks its files.
        var joining = Task.Run(() => JoinAsync(environment, _envelope, line, CancellationToken.None));
        var (command, preparation) = GenerationCommand.Prepare(line, environment.WorldSize, withInputs: environment.Rank == 0);
        using (preparation)
        using (command)
        {
            if (environment.Rank == 0)
            {
                command.BeginLoading();
            }

            var threadCount = command.Options.ThreadCount ?? DefaultThreadCount();
            if (!command.Options.SkipsChecksums)
            {
                // The ranks of a host share the reading of its files.
                preparation.Checkpoint.VerifyChecksums(
                    environment.LocalRank, environment.LocalWorldSize, threadCount, new Checking(command), CancellationToken.None);
            }

            var group = joining.GetAwaiter().GetResult();
            while (RunUntilLost(group, command, preparation, threadCount) is { } lost)
            {
                group = Rejoin(line, command, lost);
            }
        }
    }

    /// <summary>Runs this rank in one group; returns what ended the group, where this rank goes on in the next one.</summary>
    private CollectiveException? RunUntilLost(ProcessGroup group, GenerationCommand command, Preparation preparation, int threadCount)
    {
        using (group)
        {
            try
            {
                Run(group, command, preparation, threadCount);
                return null;
            }
            catch (CollectiveException exception) when (environment.Rank == 0 && command.OutlivesGroup)
            {
                var goesOn = _envelope is not null && environment.MaxRestarts > 0 && !command.Stopping.IsCancellationRequested;
                command.TellLost(goesOn);
                if (!goesOn)
                {
                    throw;
                }

                Console.Error.WriteLine($"{exception.Message} What was under way waits for the group's next start.");
                return exception;
            }
            catch (Exception exception) when (exception is not (CollectiveException or BadInputException or NonFiniteLogitsException))
            {
                group.Abort($"rank {group.Rank} failed: {exception.Message}");
                throw;
            }
        }
    }

    private ProcessGroup Rejoin(CommandLine line, GenerationCommand command, CollectiveException lost)
    {
        started = Stopwatch.GetTimestamp(); // loading begins anew
        try
        {
            (environment, _envelope, var group) = NextGroup.JoinAsync(
                link, environment, _envelope!, lost, (next, envelope, token) => JoinAsync(next, envelope, line, token), command.Stopping).GetAwaiter().GetResult();
            return group;
        }
        catch (OperationCanceledException)
        {
            command.TellLost(goesOn: false);
            ExceptionDispatchInfo.Throw(lost);
            throw;
        }
    }

    private static async Task<ProcessGroup> JoinAsync(RankEnvironment environment, JobEnvelope? envelope, CommandLine line, CancellationToken cancellationToken)
    {
        if (environment.WorldSize == 1)
        {
            return new SingleProcessGroup();
        }

        if (envelope is null)
        {
            throw new RankEnvironmentException(
                $"WORLD_SIZE={environment.WorldSize} without a job envelope (DISTRUN_ENVELOPE); start several ranks with distrun.");
        }

        var reader = new OptionReader(line.Values, []);
        var options = new PeerRendezvousOptions
        {
            OutlivesAttempt = environment.Rank == 0 && line.Command == OptionCatalog.Serve,
            Transport = reader.Transport(OptionCatalog.Transport),
            Wire = reader.Wire(OptionCatalog.Wire),
            TraceFile = reader.Text(OptionCatalog.Trace),
        };
        return await PeerRendezvous.JoinAsync(environment, envelope, options, cancellationToken);
    }

    private void Run(ProcessGroup group, GenerationCommand command, Preparation preparation, int threadCount)
    {
        var torch = command.Options.Torch;
        if (group.Rank == 0 && torch is null)
        {
            Console.Error.WriteLine(
                $"transport: {group.TransportDescription}; {(command.Options.AsksForNccl ? "NCCL joins GPUs, and the managed backend uses none" : "torch would need NCCL here")}");
        }

        var options = new LlamaModelOptions
        {
            MaxSequenceLength = preparation.Limits.MaxSequenceLength,
            MaxBatchSize = preparation.Limits.MaxBatchSize,
            ThreadCount = threadCount,
            CacheFormat = command.Options.CacheFormat,
            CacheTokenCount = command.Options.CacheTokenCount,
            WeightFormat = WeightFormats.Of(preparation.Checkpoint, command.Options.WeightFormat),
            MatmulPrecision = command.Options.MatmulPrecision,
            Mesh = preparation.Mesh,
            LayersPerStage = command.Options.Placement.LayersPerStage,
            MicroBatchCount = command.Options.Placement.MicroBatchCount,
            Torch = torch is null ? null : torch with { LocalRank = environment.LocalRank, LocalWorldSize = environment.LocalWorldSize },
        };
        command.TellLoading("waiting for all ranks", 0, 0);
        if (command.Options.Placement.DeviceMap is { } policy)
        {
            var (map, problem) = Place(group, preparation, options, policy);
            if (map is null)
            {
                // Every rank has come to the same; one says it.
                if (group.Rank == 0)
                {
                    throw new BadInputException([problem!]);
                }

                return;
            }

            options = options with { LayersPerStage = map.LayersPerStage };
        }

        var progress = group.Rank == 0 && options.WeightFormat != WeightFormat.Stored ? new Quantising(command) : null;
        using var model = LlamaModel.Load(preparation.Checkpoint, group, options, progress);
        group.Barrier(new CollectiveOptions(LoadedTag, LoadLimit));
        var sums = model.Connect();
        if (group.Rank == 0 && torch is not null)
        {
            Console.Error.WriteLine($"backend: {model.InstructionSet}; transport: {group.TransportDescription}{(sums is null ? "" : $"; {sums}")}");
        }

        if (torch is null && threadCount == 1 && preparation.Mesh.StageCount == 1)
        {
            RankBinding.TryBind(environment);
        }

        if (group.Rank == 0)
        {
            Lead(model, group, command, preparation);
        }
        else
        {
            command.BeginFollowing(group.Rank);
            new FollowerLoop(model, group).Run();
        }
    }

    private (DeviceMap? Map, string? Problem) Place(ProcessGroup group, Preparation preparation, LlamaModelOptions options, DeviceMapPolicy policy)
    {
        var free = new long[group.WorldSize];
        group.AllGather<long>([ModelPlacement.FreeByteCount(options, environment.LocalWorldSize)], free, new CollectiveOptions(PlacedTag, LoadLimit));
        var placed = ModelPlacement.Create(preparation.Checkpoint, options, policy, free);
        if (group.Rank == 0 && placed.Map is { } map)
        {
            Console.Error.WriteLine($"device map {policy.ToString().ToLowerInvariant()}:");
            foreach (var line in map.Lines)
            {
                Console.Error.WriteLine($"  {line}");
            }
        }

        return placed;
    }

    private void Lead(LlamaModel model, ProcessGroup group, GenerationCommand command, Preparation preparation)
    {
        var loadTime = Stopwatch.GetElapsedTime(started);
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Loaded in {loadTime.TotalSeconds:0.00} seconds"));
        var leader = new LeaderLoop(model, group);
        try
        {
            command.Lead(new LeaderSession
            {
                Generator = new LlamaGenerator(
                    model, leader, preparation.Tokenizer, preparation.Checkpoint.EosTokenIds, preparation.ChatFormat),
                Group = group,
                Model = model,
                Leader = leader,
                Preparation = preparation,
                Options = command.Options,
                Link = link,
                LoadTime = loadTime,
                ThreadCount = model.Options.ThreadCount,
            });
        }
        catch (Exception exception) when (exception is BadInputException or NonFiniteLogitsException)
        {
            // The request failed, not the group: the other ranks wait for a command and may go in peace.
            leader.Stop();
            throw;
        }

        leader.Stop();
    }

    private sealed class Checking(GenerationCommand command) : IProgress<(long Done, long Total)>
    {
        public void Report((long Done, long Total) value) => command.TellLoading("checking its files", value.Done, value.Total);
    }

    private sealed class Quantising(GenerationCommand command) : IProgress<(long Done, long Total)>
    {
        private readonly ProgressBar _bar = new();

        public void Report((long Done, long Total) value)
        {
            _bar.Report(value.Done, value.Total, "the layers quantised");
            command.TellLoading("quantising its layers", value.Done, value.Total);
        }
    }

    // torchrun sets OMP_NUM_THREADS where several ranks share a machine, and so does distrun.
    private int DefaultThreadCount()
    {
        var given = Environment.GetEnvironmentVariable("OMP_NUM_THREADS");
        return int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count > 0
            ? count
            : Math.Max(1, Environment.ProcessorCount / environment.LocalWorldSize);
    }
}
