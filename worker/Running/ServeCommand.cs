using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Engine.Serving;
using Distributed.Worker.Options;
using Distributed.Worker.Serving;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Running;

/// <summary>
/// Answers clients over HTTP until a signal ends it. Rank 0 listens from the start, and beside its server the model's thread runs what clients ask for; the other ranks
/// follow. On SIGTERM nothing new is taken, what runs gets time to end, and all ranks end with success.
/// </summary>
internal sealed class ServeCommand(RunOptions options, OptionValues values) : GenerationCommand(options)
{
    private readonly ServerState _state = new();
    private readonly CancellationTokenSource _stopping = new(); // stays: a signal may come after the end, and without a timer it needs no disposal
    private volatile InferenceScheduler? _scheduler;
    private ServeOptions? _serving; // of rank 0
    private ServedModel? _model;
    private ServingHost? _host;
    private IDisposable? _export;

    public override void ReadInputs(Preparation? preparation, List<string> problems)
    {
        _serving = ServeOptions.Read(values, problems);
        _model = preparation is null ? null : ServedModel.Of(preparation, Options, _serving.ModelName, _serving.Defaults);
    }

    public override void BeginLoading()
    {
        // Both were read, or there were problems.
        Export(values, rank: 0);
        _host = ServingHost.StartAsync(_serving!, _model!, _state, Console.Error, CancellationToken.None).GetAwaiter().GetResult();
        var grpc = _host.GrpcAddress is { } address && address != _host.Address ? $", for gRPC at {address.ToString().TrimEnd('/')}" : "";
        Console.Error.WriteLine($"Listening at {Address}{grpc}; the model is being loaded");
    }

    public override bool OutlivesGroup => true;

    public override CancellationToken Stopping => _stopping.Token;

    public override void TellLost(bool goesOn)
    {
        if (goesOn)
        {
            _state.TellLost();
        }
        else
        {
            _state.TellFailed();
        }
    }

    public override void TellLoading(string phase, long done, long total) => _state.TellLoading(phase, done, total);

    public override void Lead(LeaderSession session)
    {
        if (session.Preparation.ChatTemplate?.Warning(session.Preparation.ChatFormat) is { } warning)
        {
            Console.Error.WriteLine(warning);
        }

        var scheduler = new InferenceScheduler(
            session.Model,
            session.Leader,
            _model!.EosTokenIds,
            new SchedulerOptions { MaxQueuedRequests = _serving!.MaxQueue, MaxQueuedTokens = _serving.MaxQueuedTokens });
        _scheduler = scheduler;
        LauncherLink.HandleTermination(_ => Drain());
        _state.TellGroup(session.Group);
        _state.TellReady(scheduler);
        Console.Error.WriteLine($"Serving {_model.Name} at {Address}/v1 {(_serving.Keys.Count == 0 ? "to this machine, without a key" : "to those who have a key")}");
        try
        {
            scheduler.Run();
        }
        catch (Exception exception) when (exception is not CollectiveException)
        {
            _state.TellFailed();
            throw;
        }

        var served = scheduler.Snapshot();
        Console.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"served {served.FinishedRequests} requests | {served.PromptTokens} tokens read, {served.GeneratedTokens} generated | memory "
            + $"{string.Join(" + ", session.Leader.CollectStatistics().Select(rank => rank.PeakResidentByteCount >> 20))} MiB"));
    }

    /// <summary>A signal to the job reaches every rank at the same moment; those that follow are told by rank 0 when it is time.</summary>
    public override void BeginFollowing(int rank)
    {
        LauncherLink.HandleTermination(static _ => { });
        Export(values, rank);
    }

    public override void Dispose()
    {
        _host?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _export?.Dispose();
        _serving?.Certificate?.Dispose();
        base.Dispose();
    }

    private string Address => _host!.Address.ToString().TrimEnd('/'); // it listens

    private void Export(OptionValues values, int rank)
        => _export = ServeOptions.ReadCollector(values, problems: []) is { } collector ? OtlpExport.Start(collector, rank) : null; // what is wrong with it, rank 0 says

    private void Drain()
    {
        _stopping.Cancel();
        _state.TellDraining();
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Ending: what runs has {_serving!.DrainTimeout.TotalSeconds} s to end"));
        _scheduler!.Drain(_serving.DrainTimeout); // there is one before this is called
    }
}
