using System.ClientModel;
using System.Text;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;

namespace Distributed.Worker.Tests.Serving;

/// <summary>OpenAI's own client for .NET against the server.</summary>
public sealed class OpenAIClientTests(OpenAIClientTests.KeyedServer fixture) : IClassFixture<OpenAIClientTests.KeyedServer>
{
    private static readonly UserChatMessage Question = new("What does an all-reduce do?");

    [Fact]
    public async Task Complete_Question_IsAnswered()
    {
        ChatCompletion answer = await Chat().CompleteChatAsync([Question], new ChatCompletionOptions { Temperature = 0 }).DefaultTimeout();

        Assert.StartsWith("An all-reduce adds the parts from all ranks", answer.Content.Single().Text, StringComparison.Ordinal);
        Assert.Equal((ChatFinishReason.Stop, ChatMessageRole.Assistant, "demo"), (answer.FinishReason, answer.Role, answer.Model));
        Assert.Equal(15, answer.Usage.InputTokenCount);
        Assert.InRange(answer.Usage.OutputTokenCount, 20, 60);
    }

    [Fact]
    public async Task Stream_Question_IsTheSameTextInPiecesAndItsUsage()
    {
        var options = new ChatCompletionOptions { Temperature = 0 };
        ChatCompletion whole = await Chat().CompleteChatAsync([Question], options).DefaultTimeout();
        var text = new StringBuilder();
        ChatFinishReason? reason = null;
        ChatTokenUsage? usage = null;
        await foreach (var update in Chat().CompleteChatStreamingAsync([Question], options))
        {
            text.Append(string.Concat(update.ContentUpdate.Select(part => part.Text)));
            reason = update.FinishReason ?? reason;
            usage = update.Usage ?? usage;
        }

        Assert.Equal(whole.Content.Single().Text, text.ToString());
        Assert.Equal((ChatFinishReason.Stop, whole.Usage.OutputTokenCount), (reason, usage!.OutputTokenCount));
    }

    [Fact]
    public async Task Stop_AcrossTokens_EndsTheAnswer()
    {
        var options = new ChatCompletionOptions { Temperature = 0 };
        options.StopSequences.Add("from all");
        ChatCompletion answer = await Chat().CompleteChatAsync([Question], options).DefaultTimeout();

        Assert.Equal(("An all-reduce adds the parts ", ChatFinishReason.Stop), (answer.Content.Single().Text, answer.FinishReason));
    }

    [Fact]
    public async Task Logprobs_OfThreeTokens_AreRead()
    {
        var options = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 3, IncludeLogProbabilities = true, TopLogProbabilityCount = 2 };
        ChatCompletion answer = await Chat().CompleteChatAsync([Question], options).DefaultTimeout();

        Assert.Equal(ChatFinishReason.Length, answer.FinishReason);
        Assert.Equal(3, answer.ContentTokenLogProbabilities.Count);
        Assert.All(answer.ContentTokenLogProbabilities, token => Assert.Equal(2, token.TopLogProbabilities.Count));
    }

    [Fact]
    public async Task Errors_AreTheClientsExceptions()
    {
        var unauthorized = await Assert.ThrowsAsync<ClientResultException>(() => Client("wrong").GetChatClient("demo").CompleteChatAsync([Question])).DefaultTimeout();
        var notFound = await Assert.ThrowsAsync<ClientResultException>(() => Client(KeyedServer.Key).GetChatClient("other").CompleteChatAsync([Question])).DefaultTimeout();
        var badRequest = await Assert.ThrowsAsync<ClientResultException>(
            () => Chat().CompleteChatAsync([Question], new ChatCompletionOptions { Temperature = 3 })).DefaultTimeout();

        Assert.Equal((401, 404, 400), (unauthorized.Status, notFound.Status, badRequest.Status));
        Assert.Contains("temperature is 3; it must be a number from 0 to 2.", badRequest.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancel_WhileItStreams_FreesTheSlot()
    {
        using var cancellation = new CancellationTokenSource();
        var before = fixture.Server.Scheduler.Snapshot().CancelledRequests;
        var options = new ChatCompletionOptions { Temperature = 1, MaxOutputTokenCount = 16000 };
        options.LogitBiases[2] = -100; // no end
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in Chat().CompleteChatStreamingAsync([Question], options, cancellation.Token))
            {
                await cancellation.CancelAsync();
            }
        });

        await fixture.Server.UntilAsync(now => now.CancelledRequests == before + 1);
    }

    [Fact]
    public async Task Models_AreListed()
    {
        OpenAIModelCollection models = await Client(KeyedServer.Key).GetOpenAIModelClient().GetModelsAsync().DefaultTimeout();
        Assert.Equal("demo", models.Single().Id);
    }

    private static OpenAIClientOptions Options(Uri address) => new() { Endpoint = new Uri(address, "/v1"), RetryPolicy = new System.ClientModel.Primitives.ClientRetryPolicy(0) };

    private OpenAIClient Client(string key) => new(new ApiKeyCredential(key), Options(fixture.Server.Host.Address));

    private ChatClient Chat() => Client(KeyedServer.Key).GetChatClient("demo");

    /// <summary>A server with a key.</summary>
    public sealed class KeyedServer : IAsyncLifetime
    {
        internal const string Key = "sk-test";

        internal TestServer Server { get; } = new("--api-key", Key, "--max-seq-len", "16384", "--max-batch-size", "2");

        public ValueTask InitializeAsync() => Server.InitializeAsync();

        public ValueTask DisposeAsync() => Server.DisposeAsync();
    }
}
