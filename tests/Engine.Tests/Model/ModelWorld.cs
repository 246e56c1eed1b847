using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;

namespace Distributed.Engine.Tests.Model;

/// <summary>A model on all its ranks: the leader belongs to the test's thread, the followers have their own.</summary>
internal sealed class ModelWorld : IDisposable
{
    private readonly ThreadWorld _world;
    private readonly LlamaModel[] _models;
    private readonly Task[] _followers;
    private bool _stopped;

    private ModelWorld(int worldSize, Func<ProcessGroup, LlamaModel> load)
    {
        _world = new ThreadWorld(worldSize);
        Groups = [.. Enumerable.Range(0, worldSize).Select(_world.Join)];
        _models = [.. Groups.Select(load)];
        Leader = new LeaderLoop(_models[0], Groups[0]);
        _followers =
        [
            .. Enumerable.Range(1, worldSize - 1).Select(rank => Task.Factory.StartNew(
                () => new FollowerLoop(_models[rank], Groups[rank]).Run(),
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default)),
        ];
    }

    public LeaderLoop Leader { get; }

    public ThreadWorld.ThreadGroup[] Groups { get; }

    public LlamaModel Model => _models[0];

    /// <summary>[rank]</summary>
    public IReadOnlyList<LlamaModel> Models => _models;

    public Task[] Followers => _followers;

    public static LlamaModelOptions Options(
        int maxSequenceLength = 256, int maxBatchSize = 4, int threadCount = 1, int maxTokensPerStep = 512)
        => new()
        {
            MaxSequenceLength = maxSequenceLength,
            MaxBatchSize = maxBatchSize,
            ThreadCount = threadCount,
            MaxTokensPerStep = maxTokensPerStep,
        };

    /// <summary>A checkpoint on so many ranks, as many as it has shards where the number is 0.</summary>
    public static ModelWorld Load(string directory, LlamaModelOptions options, KernelSet? kernels = null, int worldSize = 0)
    {
        using var checkpoint = CheckpointFolder.Open(directory, null);
        return new ModelWorld(worldSize == 0 ? checkpoint.ShardCount : worldSize, group => LlamaModel.Load(checkpoint, group, options, kernels ?? KernelSet.Best));
    }

    /// <summary>A checkpoint of so many shards, as many as there are ranks where the number is 0.</summary>
    public static ModelWorld Create(
        RandomCheckpoint checkpoint,
        int worldSize,
        EmbeddingLayout layout,
        LlamaModelOptions options,
        KernelSet? kernels = null,
        int shardCount = 0)
    {
        var tensors = checkpoint.Stored(shardCount == 0 ? worldSize : shardCount, layout);
        return new(worldSize, group => LlamaModel.Create(checkpoint.Config, tensors, group, options, kernels ?? KernelSet.Best));
    }

    public void Stop()
    {
        _stopped = true;
        Leader.Stop();
        Task.WaitAll(_followers, TimeSpan.FromSeconds(30));
    }

    public void Dispose()
    {
        if (!_stopped)
        {
            try
            {
                Stop();
            }
            catch (Exception exception) when (exception is CollectiveException or AggregateException)
            {
                // The test has already failed, or has broken the group on purpose.
            }
        }

        foreach (var model in _models)
        {
            model.Dispose();
        }

        _world.Dispose();
    }
}
