using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Serving;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Serving;

/// <summary>A small random model on all its ranks with a scheduler on a thread of its own.</summary>
internal sealed class ServingWorld : IDisposable
{
    /// <summary>The model's shape.</summary>
    public static readonly LlamaConfig Config = new()
    {
        Dimension = 64,
        LayerCount = 2,
        HeadCount = 8,
        KeyValueHeadCount = 4,
        HiddenDimension = 96,
        VocabularySize = 264,
        NormEpsilon = 1e-5f,
    };

    private readonly RandomCheckpoint _checkpoint;
    private Task? _running;

    public ServingWorld(
        int worldSize = 1,
        SchedulerOptions? options = null,
        int maxSequenceLength = 256,
        int maxBatchSize = 4,
        int maxTokensPerStep = 512,
        int? cacheTokenCount = null,
        Action<RandomCheckpoint>? change = null,
        ModelMesh? mesh = null,
        CacheFormat cacheFormat = CacheFormat.Float32,
        MatmulPrecision precision = MatmulPrecision.Highest)
    {
        _checkpoint = new RandomCheckpoint(Config, precision == MatmulPrecision.Medium ? TensorType.BFloat16 : TensorType.Float32, seed: 1);
        change?.Invoke(_checkpoint);
        World = ModelWorld.Create(
            _checkpoint,
            worldSize,
            EmbeddingLayout.SplitByDimension,
            ModelWorld.Options(maxSequenceLength, maxBatchSize, maxTokensPerStep: maxTokensPerStep) with
            {
                CacheTokenCount = cacheTokenCount,
                CacheFormat = cacheFormat,
                MatmulPrecision = precision,
                Mesh = mesh,
            });
        Scheduler = new InferenceScheduler(World.Model, World.Leader, [2], options);
    }

    public ModelWorld World { get; }

    public InferenceScheduler Scheduler { get; }

    /// <summary>The scheduler's loop.</summary>
    public Task Running => _running ?? throw new InvalidOperationException("Start first.");

    /// <summary>Begins to serve what was submitted and what will be.</summary>
    public ServingWorld Start()
    {
        _running = Task.Factory.StartNew(Scheduler.Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        return this;
    }

    /// <summary>Seeded token ids.</summary>
    public static ImmutableArray<int> Prompt(int seed, int length)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(3, Config.VocabularySize))];
    }

    /// <summary>All events of a call.</summary>
    public static async Task<List<TokenEvent>> ReadAsync(InferenceCall call)
    {
        var events = new List<TokenEvent>();
        await foreach (var news in call.ReadAllAsync())
        {
            events.Add(news);
        }

        return events;
    }

    /// <summary>All events of a request.</summary>
    public Task<List<TokenEvent>> AnswerAsync(InferenceRequest request) => ReadAsync(Scheduler.Submit(request));

    /// <summary>Every bit of the events, to be compared.</summary>
    public static string Bits(IEnumerable<TokenEvent> events) => string.Join('\n', events.Select(news =>
        $"{news.Position} {news.TokenId} {Bits(news.LogProbability)} {news.FinishReason} {news.IsPrompt} "
        + string.Join(' ', news.Alternatives.Select(other => $"{other.TokenId}:{Bits(other.LogProbability)}"))));

    public void Dispose()
    {
        if (_running is not null)
        {
            Scheduler.Drain(TimeSpan.Zero);
            try
            {
                Assert.True(_running.Wait(TimeSpan.FromSeconds(100)), "The scheduler does not end.");
            }
            catch (AggregateException)
            {
                // The test broke it on purpose, or has failed.
            }
        }

        World.Dispose();
        _checkpoint.Dispose();
    }

    private static string Bits(float? value) => value is { } number ? $"{BitConverter.SingleToInt32Bits(number):X8}" : "-";
}
