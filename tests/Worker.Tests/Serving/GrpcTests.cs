using Distributed.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Worker.Tests.Serving;

/// <summary>The same answers over gRPC.</summary>
public sealed class GrpcTests(GrpcTests.GrpcServer fixture) : IClassFixture<GrpcTests.GrpcServer>, IDisposable
{
    private readonly GrpcChannel _channel = GrpcChannel.ForAddress(fixture.Server.Host.GrpcAddress!);

    private Inference.InferenceClient Client => new(_channel);

    public void Dispose() => _channel.Dispose();

    [Fact]
    public async Task Complete_Question_IsTheTextOfTheHttpRoute()
    {
        var generation = new GenerationRequest { MaxTokens = 40, Temperature = 0, Logprobs = 1 };
        var parts = await ReadAsync(Client.Complete(
            new CompleteRequest { Prompts = { new Prompt { Text = "Q: What does an all-reduce do?\nA:" } }, Generation = generation }, Key));

        Assert.Equal(" An all-reduce adds the parts from all ranks and gives each rank the sum.", string.Concat(parts.Select(part => part.Text)));
        Assert.Equal(FinishReason.Stop, parts[^2].FinishReason);
        Assert.Equal((14, 27), (parts[^1].Usage.PromptTokens, parts[^1].Usage.CompletionTokens));
        var tokens = parts.SelectMany(part => part.Tokens).ToArray();
        Assert.Equal(27, tokens.Length);
        Assert.All(tokens, token => Assert.True(token is { HasLogprob: true, Logprob: <= 0 } && token.Alternatives.Single().Id == token.Id));
    }

    [Fact]
    public async Task Chat_WithChoicesAndAStop_IsAnswered()
    {
        var request = new Protos.ChatRequest
        {
            Messages = { new Message { Role = "user", Content = "What does an all-reduce do?" } },
            Generation = new GenerationRequest { Temperature = 0, N = 2, Stop = { "from all" } },
        };
        var parts = await ReadAsync(Client.Chat(request, Key));

        foreach (var choice in new[] { 0, 1 })
        {
            Assert.Equal("An all-reduce adds the parts ", string.Concat(parts.Where(part => part.Choice == choice).Select(part => part.Text)));
        }
    }

    [Fact]
    public async Task Call_ThatCannotBeAnswered_HasItsStatusAndField()
    {
        var noKey = await Refused(Client.Chat(new Protos.ChatRequest()));
        var noMessages = await Refused(Client.Chat(new Protos.ChatRequest(), Key));
        var tooHot = await Refused(Client.Complete(new CompleteRequest { Prompts = { new Prompt { Text = "a" } }, Generation = new GenerationRequest { Temperature = double.NaN } }, Key));
        var other = await Refused(Client.Complete(new CompleteRequest { Prompts = { new Prompt { Text = "a" } }, Generation = new GenerationRequest { Model = "other" } }, Key));
        var noSchema = await Refused(Client.Complete(new CompleteRequest { Prompts = { new Prompt { Text = "a" } }, Generation = new GenerationRequest { JsonSchema = "{" } }, Key));

        Assert.Equal(
            [
                (StatusCode.Unauthenticated, null), (StatusCode.InvalidArgument, "messages"), (StatusCode.InvalidArgument, "temperature"), (StatusCode.NotFound, "model"),
                (StatusCode.InvalidArgument, "json_schema"),
            ],
            new[] { noKey, noMessages, tooHot, other, noSchema });
    }

    [Fact]
    public async Task Call_ThatIsCancelled_FreesItsSlot()
    {
        var before = fixture.Server.Scheduler.Snapshot().CancelledRequests;
        using (var call = Client.Complete(
            new CompleteRequest
            {
                Prompts = { new Prompt { TokenIds = new TokenIds { Ids = { 1, 403 } } } },
                Generation = new GenerationRequest { MaxTokens = 16000, LogitBias = { { 2, -100 } } },
            },
            Key))
        {
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
        }

        await fixture.Server.UntilAsync(now => now.CancelledRequests == before + 1);
    }

    private static Metadata Key => new() { { "authorization", "Bearer sk-test" } };

    private static async Task<List<AnswerPart>> ReadAsync(AsyncServerStreamingCall<AnswerPart> call)
    {
        using (call)
        {
            var parts = new List<AnswerPart>();
            while (await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout())
            {
                parts.Add(call.ResponseStream.Current);
            }

            return parts;
        }
    }

    private static async Task<(StatusCode Status, string? Param)> Refused(AsyncServerStreamingCall<AnswerPart> call)
    {
        var error = await Assert.ThrowsAsync<RpcException>(() => ReadAsync(call));
        return (error.StatusCode, error.Trailers.FirstOrDefault(entry => entry.Key == "param")?.Value);
    }

    /// <summary>A server with a key and a port for gRPC.</summary>
    public sealed class GrpcServer : IAsyncLifetime
    {
        internal TestServer Server { get; } = new("--api-key", "sk-test", "--grpc-port", "0", "--max-seq-len", "16384", "--max-batch-size", "2");

        public ValueTask InitializeAsync() => Server.InitializeAsync();

        public ValueTask DisposeAsync() => Server.DisposeAsync();
    }
}
