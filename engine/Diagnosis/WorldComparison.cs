using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Diagnosis;

/// <summary>Where two world sizes, or two backends, first disagree.</summary>
/// <param name="Layer">The first layer whose result differs.</param>
/// <param name="IsFeedForward">Whether it is the layer's second part, after attention.</param>
/// <param name="Ranks">The ranks on which it differs from one rank alone of the managed backend.</param>
/// <param name="MaxDifference">The greatest difference there.</param>
/// <param name="MaxMagnitude">The greatest number that one rank alone has there.</param>
public sealed record WorldDifference(int Layer, bool IsFeedForward, IReadOnlyList<int> Ranks, float MaxDifference, float MaxMagnitude);

/// <summary>
/// Runs the same tokens on one rank and on several, all threads of this process, and compares what each layer leaves: a wrong shard, a
/// wrong split or a wrong kernel shows in the first layer that it touches. One rank is the managed backend's; the several may be the torch backend's.
/// </summary>
public static class WorldComparison
{
    /// <summary>Tokens that are run; few, as every layer's result is kept.</summary>
    public const int TokenCount = 16;

    // Where sums are taken in another order, results differ by rounding; what is wrong differs by far more.
    private const float RelativeTolerance = 1e-3f;

    // Activations rounded to 16 bits in every layer, by a backend that is asked for it.
    private const float NarrowTolerance = 0.1f;

    /// <summary>Compares a checkpoint on one rank with itself on several, or with another backend.</summary>
    /// <param name="checkpoint">Any.</param>
    /// <param name="worldSize">At least 2; with <paramref name="torch"/> at least 1.</param>
    /// <param name="threadCount">Compute threads in all.</param>
    /// <param name="torch">The torch backend, for all ranks that are compared; <see langword="null"/> for the managed one.</param>
    /// <returns>The first difference; <see langword="null"/> where there is none.</returns>
    /// <exception cref="NonFiniteLogitsException">The model computes an infinity or NaN.</exception>
    /// <exception cref="CheckpointException">The files cannot be mapped, or there are more ranks than token ids.</exception>
    /// <exception cref="BackendException">The torch backend cannot compute here.</exception>
    public static WorldDifference? FirstDifference(CheckpointSource checkpoint, int worldSize, int threadCount, TorchOptions? torch = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return torch is null
            ? FirstDifference(worldSize, group => Load(group, null))
            : FirstDifference(
                worldSize,
                group => Load(group, torch with { LocalRank = group.Rank, LocalWorldSize = group.WorldSize, Nccl = NcclUse.Never }),
                group => Load(group, null),
                torch is { Precision: TorchPrecision.High, DataType: TorchDataType.Stored or TorchDataType.Float32 } ? RelativeTolerance : NarrowTolerance);

        LlamaModel Load(ProcessGroup group, TorchOptions? backend) => LlamaModel.Load(checkpoint, group, new LlamaModelOptions
        {
            MaxSequenceLength = TokenCount,
            MaxBatchSize = 1,
            MaxTokensPerStep = TokenCount,
            ThreadCount = Math.Max(1, threadCount / group.WorldSize),
            Torch = backend,
        });
    }

    /// <summary>As the public one, with models of the caller's making.</summary>
    /// <param name="worldSize">At least 2; with <paramref name="other"/> at least 1.</param>
    /// <param name="load">Makes the model of a rank that is compared.</param>
    /// <param name="other">Makes that of one rank, with which they are compared, where it is another backend's; <see langword="null"/> where it is the same.</param>
    /// <param name="tolerance">Of the greatest number of a layer, where bits may differ; between backends they may.</param>
    internal static WorldDifference? FirstDifference(
        int worldSize, Func<ProcessGroup, LlamaModel> load, Func<ProcessGroup, LlamaModel>? other = null, float tolerance = RelativeTolerance)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, other is null ? 2 : 1);
        var reference = new List<float[]>(); // [2 x layer, or 1 more for feed-forward][token, dimension]
        var isCanonical = Run(1, other ?? load, (_, _, _, hidden) => reference.Add(hidden.ToArray())) && other is null;
        var found = new WorldDifference?[worldSize];
        var isExact = true;
        try
        {
            RunAgainst();
        }
        catch (NonFiniteLogitsException) when (Array.Exists(found, difference => difference is not null))
        {
            // The reference has finite numbers: the first difference says more.
        }

        return found
            .OfType<WorldDifference>()
            .GroupBy(difference => (difference.Layer, difference.IsFeedForward))
            .OrderBy(group => group.Key)
            .Select(group => group.First() with
            {
                Ranks = [.. group.SelectMany(difference => difference.Ranks)],
                MaxDifference = group.Max(difference => difference.MaxDifference),
            })
            .FirstOrDefault();

        void RunAgainst() => Run(
            worldSize,
            group =>
            {
                var model = load(group);
                isExact &= isCanonical && model.IsCanonical;
                return model;
            },
            (rank, layer, isFeedForward, hidden) =>
            {
                if (found[rank] is null && Compare(reference[(2 * layer) + (isFeedForward ? 1 : 0)], hidden, isExact ? null : tolerance) is var (difference, magnitude))
                {
                    found[rank] = new WorldDifference(layer, isFeedForward, [rank], difference, magnitude);
                }
            });
    }

    /// <summary>Runs the tokens on a world of threads.</summary>
    /// <returns>Whether rank 0's results are said to have the bits of one rank.</returns>
    private static bool Run(int worldSize, Func<ProcessGroup, LlamaModel> load, RankObserver observe)
    {
        var groups = InMemoryWorld.Create(worldSize);
        var isCanonical = new bool[worldSize];
        var failures = new Exception?[worldSize];
        var loading = new Lock();
        var threads = groups.Select(group => new Thread(() =>
        {
            try
            {
                LlamaModel model;
                lock (loading)
                {
                    model = load(group);
                }

                using (model)
                {
                    model.Observer = (layer, isFeedForward, hidden) => observe(group.Rank, layer, isFeedForward, hidden);
                    isCanonical[group.Rank] = model.IsCanonical;
                    Drive(model, group);
                }
            }
            catch (Exception failure)
            {
                failures[group.Rank] = failure;
                group.Abort($"rank {group.Rank} failed: {failure.Message}");
            }
        })
        { IsBackground = true, Name = $"comparison rank {group.Rank}" }).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Array.ForEach(groups, group => group.Dispose());
        if ((Array.Find(failures, failure => failure is not (null or CollectiveException)) ?? failures.OfType<Exception>().FirstOrDefault()) is { } cause)
        {
            ExceptionDispatchInfo.Throw(cause);
        }

        return isCanonical[0];
    }

    private static void Drive(LlamaModel model, ProcessGroup group)
    {
        if (group.Rank > 0)
        {
            new FollowerLoop(model, group).Run();
            return;
        }

        var command = new StepCommand();
        for (var position = 0; position < TokenCount; position++)
        {
            command.AddToken((int)(position * 7919L % model.Config.VocabularySize), slot: 0, position); // spread over the vocabulary
        }

        command.AddOutput(TokenCount - 1);
        var leader = new LeaderLoop(model, group);
        try
        {
            leader.Run(command);
        }
        catch (NonFiniteLogitsException)
        {
            leader.Stop(); // the others wait in peace
            throw;
        }

        leader.Stop();
    }

    private static (float Difference, float Magnitude)? Compare(float[] expected, ReadOnlySpan<float> actual, float? tolerance)
    {
        var (difference, magnitude) = (0f, 0f);
        for (var i = 0; i < expected.Length; i++)
        {
            difference = Math.Max(difference, Math.Abs(expected[i] - actual[i])); // NaN stays NaN
            magnitude = Math.Max(magnitude, Math.Abs(expected[i]));
        }

        var isSame = tolerance is { } share
            ? difference <= share * magnitude
            : MemoryMarshal.AsBytes(expected.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(actual));
        return isSame ? null : (difference, magnitude);
    }

    private delegate void RankObserver(int rank, int layer, bool isFeedForward, ReadOnlySpan<float> hidden);
}
