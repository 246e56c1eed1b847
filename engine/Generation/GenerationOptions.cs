using System.Collections.Immutable;

namespace Distributed.Engine.Generation;

/// <summary>How to generate; the defaults are the reference's (meta-llama/llama generation.py, text_completion).</summary>
public sealed record GenerationOptions
{
    /// <summary>At most so many new tokens a row; <see langword="null"/> for as many as max_seq_len leaves room for.</summary>
    public int? MaxGenerationLength { get; init; }

    /// <summary>Divides the logits before sampling; 0 always takes the most probable token.</summary>
    public float Temperature { get; init; } = 0.6f;

    /// <summary>Sample from the most probable tokens whose mass reaches this, 0 to 1.</summary>
    public float TopP { get; init; } = 0.9f;

    /// <summary>With the row's number and the position it determines every draw.</summary>
    public long Seed { get; init; } = 1;

    /// <summary>Number of the first row of the call in the user's whole request, so that cutting it into batches changes no draw.</summary>
    public long FirstRow { get; init; }

    /// <summary>Whether results carry the natural-log probability of each token, from the raw logits.</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>Whether results begin with the prompt's tokens.</summary>
    public bool Echo { get; init; }

    /// <summary>A row ends before the first of these that it generates; default (not empty) stands for the tokenizer's EOS.</summary>
    public ImmutableArray<int> StopTokenIds { get; init; }

    /// <summary>One sentence for each value that is out of range.</summary>
    public IEnumerable<string> Problems()
    {
        if (MaxGenerationLength < 0)
        {
            yield return $"max_gen_len is {MaxGenerationLength}; it must be 0 or more.";
        }

        foreach (var problem in SamplingOptions.Problems(Temperature, TopP))
        {
            yield return problem;
        }
    }

    /// <summary>How the row of this index in the call chooses its tokens.</summary>
    internal SamplingOptions Sampling(int row) => new() { Temperature = Temperature, TopP = TopP, Seed = Seed, Row = FirstRow + row };
}
