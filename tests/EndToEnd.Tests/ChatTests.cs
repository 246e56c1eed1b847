using System.Buffers.Binary;
using System.Text.Json;
using Distributed.Engine.Checkpoints;

namespace Distributed.EndToEnd.Tests;

/// <summary>Dialogs, from a file and typed.</summary>
public sealed class ChatTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [Fact]
    public async Task Chat_DialogsFileOnTwoRanks_AnswersAsTheReferenceDoes()
    {
        var golden = GoldenCase.Read(Path.Combine(Repository.DemoCheckpoint, "golden.json"))
            .Where(one => one.Name.StartsWith("single", StringComparison.Ordinal) && !one.Echo)
            .Select(one => one.Items[0])
            .Where(item => item.Prompt.StartsWith("[INST] ", StringComparison.Ordinal))
            .ToArray();
        Assert.Equal(4, golden.Length);
        var questions = golden.Select(item => item.Prompt["[INST] ".Length..^" [/INST]".Length]).ToArray();
        await File.WriteAllTextAsync(
            _distrun.Files["dialogs.json"], JsonSerializer.Serialize(questions.Select(content => new[] { new { role = "user", content } })));

        var launch = await _distrun.Run(
            "--nproc-per-node", "2", "worker", "chat", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path",
            Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"), "--dialogs-file", "dialogs.json", "--temperature", "0",
            "--max-gen-len", "64", "--max-batch-size", "3", "--logprobs", "--format", "json");

        var results = ResultsDocument.Parse(launch).Results;
        Assert.Equal(golden.Length, results.Count);
        foreach (var (item, question, result) in golden.Zip(questions, results))
        {
            Assert.Equal([new("user", question)], result.Dialog!);
            Assert.Equal("assistant", result.Generation.GetProperty("role").GetString());
            Assert.Equal(item.PromptTokens, result.PromptTokens);
            item.RequireEqual("chat", result.Tokens, result.Logprobs, result.Text);
        }
    }

    [Fact]
    public async Task Chat_LinesOnStandardInput_AreAConversation()
    {
        var launch = await _distrun.RunWithInput(
            "What is 7 plus 5?\n[INST]\n/reset\nWho are you?\n/exit\nnever read\n",
            "--nproc-per-node", "2", "worker", "chat", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path",
            Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"), "--temperature", "0");

        Assert.Equal(
            (0, "7 plus 5 is 12. \nI am a very small model, split over several workers. \n"), (launch.ExitCode, launch.Output));
        Assert.Contains("Error: special tags are not allowed as part of the prompt.", launch.Error, StringComparison.Ordinal);
    }

    /// <summary>The prompts of the reference's chat_completion, of which the ids count: the weights here are made up.</summary>
    [SharedDataFact("llama2-tokenizer/chat.json")]
    public async Task Chat_ReferenceDialogs_AreEncodedAsTheReferenceDoes()
    {
        var folder = Path.Combine(Repository.SharedData, "llama2-tokenizer");
        using var reference = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, "chat.json")));
        var cases = reference.RootElement.EnumerateArray().ToArray();
        await File.WriteAllLinesAsync(
            _distrun.Files["dialogs.jsonl"], cases.Select(one => JsonSerializer.Serialize(one.GetProperty("dialog"))));
        WriteLlamaOf32000Tokens(_distrun.Files.Path);

        var launch = await _distrun.Run(
            "worker", "chat", "--ckpt-dir", ".", "--tokenizer-path", Path.Combine(folder, "tokenizer.model"), "--dialogs-file",
            "dialogs.jsonl", "--max-gen-len", "1", "--format", "json");

        Assert.Equal(
            cases.Select(one => one.GetProperty("prompt_tokens").Deserialize<int[]>()),
            ResultsDocument.Parse(launch).Results.Select(result => result.PromptTokens));
    }

    private static void WriteLlamaOf32000Tokens(string folder)
    {
        const int Dimension = 8, HiddenDimension = 24, VocabularySize = 32000; // hidden: 8/3 of the dimension, up to a multiple of 4
        File.WriteAllText(
            Path.Combine(folder, "params.json"),
            """{"dim": 8, "n_layers": 1, "n_heads": 2, "vocab_size": -1, "multiple_of": 4, "norm_eps": 1e-5}""");
        MetaShardWriter.Write(
            Path.Combine(folder, "consolidated.00.pth"),
            [
                Tensor("tok_embeddings.weight", VocabularySize, Dimension),
                .. new[] { "wq", "wk", "wv", "wo" }.Select(name => Tensor($"layers.0.attention.{name}.weight", Dimension, Dimension)),
                Tensor("layers.0.feed_forward.w1.weight", HiddenDimension, Dimension),
                Tensor("layers.0.feed_forward.w2.weight", Dimension, HiddenDimension),
                Tensor("layers.0.feed_forward.w3.weight", HiddenDimension, Dimension),
                Tensor("layers.0.attention_norm.weight", Dimension),
                Tensor("layers.0.ffn_norm.weight", Dimension),
                Tensor("norm.weight", Dimension),
                Tensor("output.weight", VocabularySize, Dimension),
            ],
            CancellationToken.None);
    }

    // Numbers from -0.5 to 0.5 that depend on the place.
    private static ShardTensor Tensor(string name, params long[] shape) => new(name, TensorType.Float32, [.. shape], (offset, bytes) =>
    {
        for (var index = 0; index < bytes.Length; index += sizeof(float))
        {
            var place = (offset + index) / sizeof(float);
            BinaryPrimitives.WriteSingleLittleEndian(bytes[index..], ((place * 7919 % 101) - 50) / 100f);
        }
    });
}
