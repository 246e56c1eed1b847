using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Tokenizers;
using Distributed.Engine.Weights;
using Distributed.Worker.Options;

namespace Distributed.Worker.Running;

/// <summary>The tokenizer and the checkpoint's index: all that is needed to tell whether a command can run, and no weights yet.</summary>
internal sealed class Preparation : IDisposable
{
    private Preparation(RunOptions options, Tokenizer tokenizer, CheckpointSource checkpoint, ModelMesh mesh)
    {
        Mesh = mesh;
        Tokenizer = tokenizer;
        Checkpoint = checkpoint;
        ChatTemplate = options.TokenizerPath is { } path ? ChatTemplate.Find(path) : null;
        ChatFormat = ChatFormat.Of(checkpoint, tokenizer, ChatTemplate, enableThinking: !options.SkipsThinking);
        Limits = new GenerationLimits(options.MaxSequenceLength, options.MaxBatchSize, checkpoint.Config.VocabularySize);
    }

    public Tokenizer Tokenizer { get; }

    public CheckpointSource Checkpoint { get; }

    /// <summary>The chat template beside the tokenizer; <see langword="null"/> for none.</summary>
    public ChatTemplate? ChatTemplate { get; }

    public ChatFormat ChatFormat { get; }

    public GenerationLimits Limits { get; }

    /// <summary>Pipeline stages and the ranks of each.</summary>
    public ModelMesh Mesh { get; }

    /// <summary>
    /// Opens what the options name; <see langword="null"/> with at least one sentence in <paramref name="problems"/> where that fails.
    /// </summary>
    public static Preparation? TryOpen(RunOptions options, int worldSize, List<string> problems)
    {
        var tokenizer = TryLoadTokenizer(options.TokenizerPath, problems);
        var mesh = options.Placement.MeshOf(worldSize, problems);
        var checkpoint = options.CheckpointDirectory is { } directory
            ? Try(() => Open(directory, tokenizer?.VocabularySize, options, mesh), problems)
            : null;
        if (tokenizer is null || checkpoint is null)
        {
            checkpoint?.Dispose();
            return null;
        }

        options.Placement.Check(checkpoint.Config, mesh, problems);
        var preparation = new Preparation(options, tokenizer, checkpoint, mesh);
        preparation.CheckStopTokens(options.Generation, problems);
        if (options.SkipsThinking && !preparation.ChatFormat.CanThink)
        {
            problems.Add($"--{OptionCatalog.NoThinking} is for models whose chat template has a switch for thinking, as Qwen3's; leave it out.");
        }

        return preparation;
    }

    /// <summary>
    /// Loads a tokenizer; <see langword="null"/> where there is no path or, with a sentence in <paramref name="problems"/>, that fails.
    /// </summary>
    public static Tokenizer? TryLoadTokenizer(string? path, List<string> problems)
        => path is null ? null : Try(() => Tokenizer.Load(path), problems);

    public void Dispose() => Checkpoint.Dispose();

    private static CheckpointSource Open(string directory, int? vocabularySize, RunOptions options, ModelMesh mesh)
    {
        var checkpoint = CheckpointFolder.Open(directory, vocabularySize);
        try
        {
            checkpoint.Config.RequireSequenceLength(options.MaxSequenceLength);
            if (options.Torch is not null)
            {
                TorchSupport.Require(checkpoint);
            }

            _ = WeightFormats.Of(checkpoint, options.WeightFormat); // says what a quantised checkpoint cannot be run in
            MatmulPrecisions.Require(checkpoint, options.MatmulPrecision, options.WeightFormat);
            _ = ShardPlan.Create(checkpoint.Config, mesh.StageSize, rank: 0); // says which world sizes cannot be
            LayerSplit.RequireStages(checkpoint.Config.LayerCount, mesh.StageCount);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    private static T? Try<T>(Func<T> open, List<string> problems)
        where T : class
    {
        try
        {
            return open();
        }
        catch (Exception exception) when (exception is CheckpointException or TokenizerFormatException)
        {
            problems.Add(exception.Message);
            return null;
        }
    }

    private void CheckStopTokens(GenerationOptions generation, List<string> problems)
    {
        if (generation.StopTokenIds.IsDefault)
        {
            return;
        }

        foreach (var tokenId in generation.StopTokenIds.Where(id => id >= Limits.VocabularySize))
        {
            problems.Add($"--{OptionCatalog.StopTokenIds} has {tokenId}; this model's ids are 0 to {Limits.VocabularySize - 1}.");
        }
    }
}
