using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Distributed.Collectives;
using Distributed.Engine.Model;
using Distributed.Engine.Serving;
using Distributed.Worker.Options;
using Distributed.Worker.Running;
using Distributed.Worker.Serving;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Tests.Serving;

/// <summary>The server with the demo model on one rank, in this process, at a port of its own.</summary>
public sealed class TestServer : IAsyncLifetime
{
    private readonly string[] _arguments;
    private readonly OneShardDemo _demo = new();
    private readonly StringWriter _log = new();
    private Preparation? _preparation;
    private SingleProcessGroup? _group;
    private LlamaModel? _model;
    private LeaderLoop? _leader;
    private Thread? _thread;
    private Exception? _failure;

    public TestServer()
        : this([])
    {
    }

    internal TestServer(params string[] arguments) => _arguments = arguments;

    internal ServingHost Host { get; private set; } = null!; // from the start on

    internal ServerState State { get; init; } = new();

    internal InferenceScheduler Scheduler { get; private set; } = null!;

    internal ServedModel Model { get; private set; } = null!;

    /// <summary>What the server has noted of failures.</summary>
    internal string Log => _log.ToString();

    /// <summary>A client of the server.</summary>
    internal HttpClient Client { get; private set; } = null!;

    /// <summary>Starts one, which the caller disposes.</summary>
    internal static Task<TestServer> StartAsync(params string[] arguments) => StartAsync(TestModel.Runs, arguments);

    /// <inheritdoc cref="StartAsync(string[])"/>
    internal static Task<TestServer> StartAsync(TestModel model, params string[] arguments) => StartAsync(model, new ServerState(), arguments);

    /// <inheritdoc cref="StartAsync(string[])"/>
    internal static async Task<TestServer> StartAsync(TestModel model, ServerState state, params string[] arguments)
    {
        var server = new TestServer(arguments) { State = state };
        await server.InitializeAsync(model);
        return server;
    }

    public ValueTask InitializeAsync() => InitializeAsync(TestModel.Runs);

    private async ValueTask InitializeAsync(TestModel model)
    {
        var line = CommandLine.Parse(
            [
                "serve", "--ckpt-dir", _demo.CheckpointDirectory, "--tokenizer-path", Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"),
                "--port", "0", "--served-model-name", "demo", "--threads", "1", .. _arguments,
            ]);
        var options = RunOptions.Read(OptionCatalog.Serve, line.Values, line.Problems);
        var serving = ServeOptions.Read(line.Values, line.Problems);
        _preparation = Preparation.TryOpen(options, worldSize: 1, line.Problems);
        Assert.Empty(line.Problems);
        Model = ServedModel.Of(_preparation!, options, serving.ModelName, serving.Defaults);
        Host = await ServingHost.StartAsync(serving, Model, State, TextWriter.Synchronized(_log), CancellationToken.None);
        // An answer that is given up is not read on for the sake of its connection.
        Client = new HttpClient(new SocketsHttpHandler { ResponseDrainTimeout = TimeSpan.Zero }) { BaseAddress = Host.Address };
        if (model != TestModel.Missing)
        {
            Load(options, serving);
        }

        if (model == TestModel.Runs)
        {
            _thread!.Start();
        }
    }

    // After this requests are taken.
    private void Load(RunOptions options, ServeOptions serving)
    {
        _group = new SingleProcessGroup();
        _model = LlamaModel.Load(_preparation!.Checkpoint, _group, new LlamaModelOptions
        {
            MaxSequenceLength = options.MaxSequenceLength,
            MaxBatchSize = options.MaxBatchSize,
            ThreadCount = 1,
        });
        _leader = new LeaderLoop(_model, _group);
        Scheduler = new InferenceScheduler(
            _model, _leader, Model.EosTokenIds, new SchedulerOptions { MaxQueuedRequests = serving.MaxQueue, MaxQueuedTokens = serving.MaxQueuedTokens });
        _thread = new Thread(() =>
        {
            try
            {
                Scheduler.Run();
            }
            catch (Exception exception)
            {
                _failure = exception;
            }
        });
        State.TellReady(Scheduler);
    }

    /// <summary>Sends a body and returns the answer's document.</summary>
    internal async Task<JsonElement> PostAsync(string path, string body, int status = 200)
    {
        using var content = new StringContent(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
        using var response = await Client.PostAsync(new Uri(path, UriKind.Relative), content).DefaultTimeout();
        var text = await response.Content.ReadAsStringAsync();
        Assert.True((int)response.StatusCode == status, $"{(int)response.StatusCode}: {text} {Log}");
        using var document = JsonDocument.Parse(text);
        return document.RootElement.Clone();
    }

    /// <summary>Waits until the scheduler's state is as it should be.</summary>
    internal async Task UntilAsync(Func<SchedulerSnapshot, bool> condition)
    {
        async Task Wait()
        {
            while (!condition(Scheduler.Snapshot()))
            {
                await Task.Delay(2);
            }
        }

        await Wait().DefaultTimeout();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (_thread is { ThreadState: not ThreadState.Unstarted } thread)
        {
            Scheduler.Drain(TimeSpan.Zero);
            Assert.True(thread.Join(TimeSpan.FromSeconds(100)), "The scheduler does not end.");
        }

        _leader?.Stop();

        await Host.DisposeAsync();
        _model?.Dispose();
        _group?.Dispose();
        _preparation?.Dispose();
        _demo.Dispose();
        Assert.Null(_failure);
    }
}

/// <summary>What the model of a test's server does.</summary>
internal enum TestModel
{
    /// <summary>It answers.</summary>
    Runs,

    /// <summary>It takes requests and answers none.</summary>
    Stands,

    /// <summary>It is not loaded.</summary>
    Missing,
}
