using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Generation;

/// <summary>A loaded Llama whose ranks are threads of this process; the generator is rank 0's and belongs to the test's thread.</summary>
internal sealed class TestLlama : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(100);

    private readonly ProcessGroup[] _world;
    private readonly Task[] _followers; // of ranks 1 and up
    private readonly MetaCheckpoint _checkpoint;
    private readonly LlamaModel _model;
    private readonly LeaderLoop _leader;

    public TestLlama(string folder, string tokenizer, int worldSize, int maxSequenceLength = 256, int maxTokensPerStep = 512)
    {
        Tokenizer = SentencePieceTokenizer.Load(tokenizer);
        _checkpoint = MetaCheckpoint.Open(folder, Tokenizer.VocabularySize);
        var options = new LlamaModelOptions
        {
            MaxSequenceLength = maxSequenceLength,
            MaxBatchSize = 4,
            MaxTokensPerStep = maxTokensPerStep,
            ThreadCount = 1,
        };
        _world = InMemoryWorld.Create(worldSize);
        _followers = [.. _world.Skip(1).Select(group => Task.Factory.StartNew(
            () => Follow(group, options), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        _model = LlamaModel.Load(_checkpoint, _world[0], options);
        _leader = new LeaderLoop(_model, _world[0]);
        Generator = new LlamaGenerator(_model, _leader, Tokenizer);
    }

    public SentencePieceTokenizer Tokenizer { get; }

    public LlamaGenerator Generator { get; }

    /// <summary>The demo checkpoint, on the two ranks that it is made for.</summary>
    public static TestLlama Demo(int maxSequenceLength = 256, int maxTokensPerStep = 512) => new(
        Repository.DemoCheckpoint, Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"), worldSize: 2, maxSequenceLength, maxTokensPerStep);

    /// <summary>The 260 K parameter Llama of ../shared/data, in one of its sets of shards.</summary>
    public static TestLlama Stories(string shards, int worldSize) => new(
        Path.Combine(Repository.SharedData, "stories260k", shards), Path.Combine(Repository.SharedData, "stories260k", "tokenizer.model"), worldSize);

    public void Dispose()
    {
        _leader.Stop();
        Assert.True(Task.WaitAll(_followers, Limit), "A follower still runs after the leader has stopped.");
        _model.Dispose();
        _checkpoint.Dispose();
        Task.WaitAll([.. _world.Select(group => Task.Run(group.Dispose))], Limit); // together, as processes end
    }

    private void Follow(ProcessGroup group, LlamaModelOptions options)
    {
        using var model = LlamaModel.Load(_checkpoint, group, options);
        new FollowerLoop(model, group).Run();
    }
}
