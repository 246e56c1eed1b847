using System.Text.Json;
using System.Text.Json.Serialization;

namespace Distributed.EndToEnd.Tests;

/// <summary>One call of Meta's published generation code, greedy, with what it returned.</summary>
/// <param name="Name">For messages.</param>
/// <param name="MaxGenLen">Its max_gen_len.</param>
/// <param name="Echo">Whether the results begin with the prompts.</param>
/// <param name="EosId">The token that ends a row.</param>
/// <param name="Items">A row each.</param>
internal sealed record GoldenCase(string Name, int MaxGenLen, bool Echo, int EosId, GoldenCase.Item[] Items)
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Whether log probabilities were asked for.</summary>
    public bool HasLogProbabilities => Items[0].Logprobs is not null;

    /// <summary>The cases of a golden file.</summary>
    public static GoldenCase[] Read(string path) => JsonSerializer.Deserialize<File>(System.IO.File.ReadAllBytes(path), Options)!.Cases;

    internal sealed record Item(string Prompt, int[] PromptTokens, int[] Tokens, string Text, float[]? Logprobs)
    {
        private const float Tolerance = 1e-4f;

        /// <summary>Ids and text must be equal, log probabilities within 1e-4; there are some if the case has some.</summary>
        public void RequireEqual(string name, int[] tokens, float[]? logprobs, string? text)
        {
            Assert.True(Tokens.SequenceEqual(tokens), $"{name}: \"{Prompt}\" gave the ids [{string.Join(',', tokens)}], not [{string.Join(',', Tokens)}].");
            Assert.Equal(text is null ? null : Text, text);
            if (Logprobs is null)
            {
                Assert.Null(logprobs);
                return;
            }

            Assert.Equal(Logprobs.Length, logprobs!.Length);
            foreach (var (position, (expected, actual)) in Logprobs.Zip(logprobs).Index())
            {
                Assert.True(
                    MathF.Abs(expected - actual) <= Tolerance,
                    $"{name}: \"{Prompt}\" has the log probability {actual} at {position}, not {expected}.");
            }
        }
    }

    private sealed record File([property: JsonRequired] GoldenCase[] Cases);
}
