using Distributed.Engine.Generation;

namespace Distributed.Engine.Diagnosis;

/// <summary>How well a model predicts texts: exp(- mean log P(token | the text so far)), 1 at best.</summary>
internal static class Perplexity
{
    /// <summary>Measures it over all tokens behind the first of each text.</summary>
    /// <param name="generator">Of the model.</param>
    /// <param name="texts">Tokens of each text, BOS first; at most the model's longest sequence.</param>
    public static double Measure(LlamaGenerator generator, IEnumerable<IReadOnlyList<int>> texts)
    {
        var options = new GenerationOptions { MaxGenerationLength = 0, Temperature = 0, Echo = true, LogProbabilities = true };
        return Math.Exp(-texts.SelectMany(text => generator.Generate([text], options)[0].LogProbabilities!.Skip(1)).Average(value => (double)value));
    }
}
