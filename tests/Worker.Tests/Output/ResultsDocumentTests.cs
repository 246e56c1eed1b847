using System.Text;
using Distributed.Engine.Generation;
using Distributed.Worker.Output;

namespace Distributed.Worker.Tests.Output;

public sealed class ResultsDocumentTests
{
    private static readonly RunFigures Figures = new(
        TimeSpan.FromSeconds(0.25),
        new GenerationStatistics
        {
            PrefillTokenCount = 10,
            PrefillTime = TimeSpan.FromSeconds(2),
            DecodeTokenCount = 3,
            DecodeTime = TimeSpan.FromSeconds(2),
        },
        ThreadCount: 1,
        PeakResidentByteCounts: [1000, 2000]);

    [Fact]
    public void Write_Completions_IsTheDocumentInItsOrder()
        => Assert.Equal(
            """
            {"world_size":2,"results":[{"prompt":"Grüße \"<&\" 😀\n","prompt_tokens":[1,5],"tokens":[7,8],"token_strings":["é","\t"],"logprobs":[-0.1,-1E-10],"generation":"é\t","finish_reason":"stop"},{"prompt":"","prompt_tokens":[1],"tokens":[],"token_strings":[],"logprobs":null,"generation":"","finish_reason":"length"}],"stats":{"load_seconds":0.25,"prefill_tokens_per_second":5,"decode_tokens_per_second":1.5,"peak_rss_bytes":[1000,2000]}}

            """,
            Written(
                (new PromptInput("Grüße \"<&\" 😀\n", [1, 5]), Result([1, 5], [7, 8], ["é", "\t"], [-0.1f, -1e-10f], FinishReason.Stop)),
                (new PromptInput("", [1]), Result([1], [], [], null, FinishReason.Length))));

    [Fact]
    public void Write_Dialog_HasTheDialogAndAnAssistantsMessage()
        => Assert.StartsWith(
            """
            {"world_size":2,"results":[{"dialog":[{"role":"user","content":"Hi"}],"prompt_tokens":[1],"tokens":[7],"token_strings":["Hello!"],"logprobs":null,"generation":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],
            """,
            Written((new DialogInput([new("user", "Hi")]), Result([1], [7], ["Hello!"], null, FinishReason.Stop))),
            StringComparison.Ordinal);

    [Fact]
    public void ToString_OfFigures_NamesRanksThreadsSpeedsAndMemory()
        => Assert.Equal(
            "2 ranks x 1 thread | loaded in 0.25 s | prefill 5 tokens/s | decode 1.5 tokens/s | memory 0 + 0 MiB", Figures.ToString());

    private static GenerationResult Result(int[] prompt, int[] tokens, string[] strings, float[]? logProbabilities, FinishReason reason) => new()
    {
        PromptTokens = prompt,
        Tokens = tokens,
        TokenStrings = strings,
        LogProbabilities = logProbabilities,
        Text = string.Concat(strings),
        FinishReason = reason,
    };

    private static string Written(params (RowInput, GenerationResult)[] rows)
    {
        using var stream = new MemoryStream();
        ResultsDocument.Write(stream, rows, Figures);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
