using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Answers and their events, to the letter.</summary>
public partial class AnswerTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Question = "Q: What does an all-reduce do?\\nA:";
    private const string Answer = " An all-reduce adds the parts from all ranks and gives each rank the sum.";

    [Fact]
    public async Task Completion_Greedy_IsTheGoldenText()
    {
        var answer = await server.PostAsync("/v1/completions", $$"""{"model":"demo","prompt":"{{Question}}","max_tokens":40,"temperature":0}""");

        Assert.Equal("text_completion", answer.GetProperty("object").GetString());
        Assert.Matches("^cmpl-[0-9a-f]{32}$", answer.GetProperty("id").GetString());
        var choice = answer.GetProperty("choices")[0];
        Assert.Equal(
            (Answer, "stop", JsonValueKind.Null, 0),
            (choice.GetProperty("text").GetString(), choice.GetProperty("finish_reason").GetString(), choice.GetProperty("logprobs").ValueKind, choice.GetProperty("index").GetInt32()));
        var usage = answer.GetProperty("usage");
        Assert.Equal((14, 27, 41), (Number(usage, "prompt_tokens"), Number(usage, "completion_tokens"), Number(usage, "total_tokens")));
    }

    [Fact]
    public async Task Stream_Chat_IsTheseEventsToTheLetter()
    {
        var text = await StreamAsync(
            "/v1/chat/completions",
            """{"messages":[{"role":"user","content":"What does an all-reduce do?"}],"temperature":0,"max_tokens":3,"stream":true,"stream_options":{"include_usage":true}}""");

        var head = """{"id":"ID","object":"chat.completion.chunk","created":0,"model":"demo","system_fingerprint":"FP",""";
        Assert.Equal(
            """
            data: HEAD"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}

            data: HEAD"choices":[{"index":0,"delta":{"content":"An"},"logprobs":null,"finish_reason":null}],"usage":null}

            data: HEAD"choices":[{"index":0,"delta":{"content":" all"},"logprobs":null,"finish_reason":null}],"usage":null}

            data: HEAD"choices":[{"index":0,"delta":{"content":"-"},"logprobs":null,"finish_reason":null}],"usage":null}

            data: HEAD"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}

            data: HEAD"choices":[],"usage":{"prompt_tokens":15,"completion_tokens":3,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":0}}}

            data: [DONE]


            """.ReplaceLineEndings("\n").Replace("HEAD", head, StringComparison.Ordinal),
            text);
    }

    [Fact]
    public async Task Stream_Completion_IsTheseEventsToTheLetter()
    {
        var text = await StreamAsync("/v1/completions", $$"""{"prompt":"{{Question}}","temperature":0,"max_tokens":2,"stream":true,"stop":"all"}""");

        var head = """{"id":"ID","object":"text_completion","created":0,"model":"demo","system_fingerprint":"FP",""";
        Assert.Equal(
            """
            data: HEAD"choices":[{"index":0,"text":" An","logprobs":null,"finish_reason":null}]}

            data: HEAD"choices":[{"index":0,"text":" ","logprobs":null,"finish_reason":"stop"}]}

            data: [DONE]


            """.ReplaceLineEndings("\n").Replace("HEAD", head, StringComparison.Ordinal),
            text);
    }

    [Theory]
    [InlineData("all-reduce adds", " An ")] // across many tokens
    [InlineData("sum.", " An all-reduce adds the parts from all ranks and gives each rank the ")]
    [InlineData("An", " ")]
    [InlineData("never there", Answer)]
    public async Task Stop_AcrossTokens_CutsTheSameWholeAndStreamed(string stop, string expected)
    {
        var body = $$"""{"prompt":"{{Question}}","max_tokens":40,"temperature":0,"stop":["{{stop}}"]""";
        var choice = (await server.PostAsync("/v1/completions", $"{body}}}")).GetProperty("choices")[0];
        var events = await StreamAsync("/v1/completions", $"{body},\"stream\":true}}");
        var streamed = Documents(events).Select(document => document.GetProperty("choices")[0]).ToArray();

        Assert.Equal((expected, "stop"), (choice.GetProperty("text").GetString(), choice.GetProperty("finish_reason").GetString()));
        Assert.Equal(expected, string.Concat(streamed.Select(one => one.GetProperty("text").GetString())));
        Assert.Equal("stop", streamed[^1].GetProperty("finish_reason").GetString());
        Assert.All(streamed[..^1], one => Assert.Equal(JsonValueKind.Null, one.GetProperty("finish_reason").ValueKind));
    }

    [Fact]
    public async Task Score_MaxTokensZero_TellsThePromptsLogProbabilities()
    {
        var answer = await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":0,"echo":true,"logprobs":2,"temperature":0}""");

        var choice = answer.GetProperty("choices")[0];
        var logprobs = choice.GetProperty("logprobs");
        Assert.Equal(("Once upon a time", "length"), (choice.GetProperty("text").GetString(), choice.GetProperty("finish_reason").GetString()));
        Assert.Equal(["<s>", " Once", " upon", " a", " time"], logprobs.GetProperty("tokens").EnumerateArray().Select(one => one.GetString()));
        Assert.Equal([0, 0, 4, 9, 11], logprobs.GetProperty("text_offset").EnumerateArray().Select(one => one.GetInt32()));
        var values = logprobs.GetProperty("token_logprobs").EnumerateArray().ToArray();
        Assert.Equal(JsonValueKind.Null, values[0].ValueKind);
        Assert.All(values[1..], value => Assert.InRange(value.GetSingle(), -5, 0));
        var alternatives = logprobs.GetProperty("top_logprobs").EnumerateArray().ToArray();
        Assert.Equal(JsonValueKind.Null, alternatives[0].ValueKind);
        // How evaluation harnesses find out whether a token was the most probable one.
        Assert.All(alternatives[1..].Index(), one => Assert.Equal(
            logprobs.GetProperty("tokens")[one.Index + 1].GetString(), one.Item.EnumerateObject().MaxBy(alternative => alternative.Value.GetSingle()).Name));
        Assert.Equal(0, Number(answer.GetProperty("usage"), "completion_tokens"));
    }

    [Fact]
    public async Task Echo_WithNewTokens_IsOneTextWithItsPlaces()
    {
        var answer = await server.PostAsync("/v1/completions", $$"""{"prompt":"{{Question}}","max_tokens":3,"echo":true,"logprobs":0,"temperature":0}""");

        var choice = answer.GetProperty("choices")[0];
        var text = choice.GetProperty("text").GetString()!;
        var logprobs = choice.GetProperty("logprobs");
        Assert.Equal("Q: What does an all-reduce do?\nA: An all-", text);
        var tokens = logprobs.GetProperty("tokens").EnumerateArray().Select(one => one.GetString()!).ToArray();
        var offsets = logprobs.GetProperty("text_offset").EnumerateArray().Select(one => one.GetInt32()).ToArray();
        Assert.Equal(14 + 3, tokens.Length);
        Assert.All(tokens.Zip(offsets).Skip(2), one => Assert.Equal(one.First, text.Substring(one.Second, one.First.Length)));
        Assert.Equal(JsonValueKind.Null, logprobs.GetProperty("top_logprobs").ValueKind);
    }

    [Fact]
    public async Task Choices_OfSeveralPrompts_AreNumberedPromptByPromptAndTheSameAgain()
    {
        const string Body = """{"prompt":["Once upon a time","The largest animal"],"n":2,"max_tokens":6,"temperature":1,"seed":5}""";
        var first = Texts(await server.PostAsync("/v1/completions", Body));
        var second = Texts(await server.PostAsync("/v1/completions", Body));

        Assert.Equal(4, first.Length);
        Assert.Equal(first, second);
    }

    [Fact]
    public async Task Chat_LogProbabilities_HaveBytesAndAlternatives()
    {
        var answer = await server.PostAsync(
            "/v1/chat/completions",
            """{"messages":[{"role":"user","content":"What does an all-reduce do?"}],"temperature":0,"max_tokens":3,"logprobs":true,"top_logprobs":2}""");

        var choice = answer.GetProperty("choices")[0];
        Assert.Equal("An all-", choice.GetProperty("message").GetProperty("content").GetString());
        var content = choice.GetProperty("logprobs").GetProperty("content").EnumerateArray().ToArray();
        Assert.Equal(3, content.Length);
        Assert.All(content, token =>
        {
            Assert.Equal(2, token.GetProperty("top_logprobs").GetArrayLength());
            Assert.Equal(token.GetProperty("token").GetString(), Encoding.UTF8.GetString([.. token.GetProperty("bytes").EnumerateArray().Select(value => value.GetByte())]));
        });
    }

    [Theory]
    [InlineData("/v1/completions", """{"model":"gpt-4","prompt":"a"}""", 404, "model", "model_not_found")]
    [InlineData("/v1/completions", """{"prompt":"a","max_tokens":5000}""", 400, "prompt", "context_length_exceeded")]
    [InlineData("/v1/completions", """{"prompt":[1,99999]}""", 400, "prompt", null)]
    [InlineData("/v1/completions", """{"prompt":[]}""", 400, "prompt", null)]
    [InlineData("/v1/completions", """{"prompt":"a","logit_bias":{"5000":1}}""", 400, "logit_bias", null)]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"[INST]"}]}""", 400, "messages", null)]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"assistant","content":"a"}]}""", 400, "messages", null)]
    [InlineData("/v1/chat/completions", "{", 400, null, null)]
    [InlineData("/detokenize", """{"tokens":[99999]}""", 400, "tokens", null)]
    [InlineData("/tokenize", "{}", 400, "content", null)]
    public async Task Request_ThatCannotBeAnswered_IsAnErrorInOpenAisForm(string path, string body, int status, string? param, string? code)
    {
        var error = (await server.PostAsync(path, body, status)).GetProperty("error");

        Assert.Equal(["message", "type", "param", "code"], error.EnumerateObject().Select(property => property.Name));
        Assert.Equal(("invalid_request_error", param, code), (error.GetProperty("type").GetString(), error.GetProperty("param").GetString(), error.GetProperty("code").GetString()));
        Assert.EndsWith(".", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("", server.Log);
    }

    [Fact]
    public async Task Tokenize_AndBack_IsTheText()
    {
        var tokens = (await server.PostAsync("/tokenize", """{"content":"Once upon a time"}""")).GetProperty("tokens");
        var text = await server.PostAsync("/detokenize", $$"""{"tokens":{{tokens.GetRawText()}}}""");
        var pieces = (await server.PostAsync("/tokenize", """{"content":"Once","add_special":true,"with_pieces":true}""")).GetProperty("tokens");

        Assert.Equal("Once upon a time", text.GetProperty("content").GetString());
        Assert.Equal(["<s>", "▁Once"], pieces.EnumerateArray().Select(piece => piece.GetProperty("piece").GetString()));
    }

    private static int Number(JsonElement parent, string name) => parent.GetProperty(name).GetInt32();

    private static string[] Texts(JsonElement answer)
        => [.. answer.GetProperty("choices").EnumerateArray().Select((choice, index) =>
        {
            Assert.Equal(index, choice.GetProperty("index").GetInt32());
            return choice.GetProperty("text").GetString()!;
        })];

    private static IEnumerable<JsonElement> Documents(string events)
        => events.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)
            .Where(one => one != "data: [DONE]")
            .Select(one => JsonDocument.Parse(one["data: ".Length..]).RootElement);

    private async Task<string> StreamAsync(string path, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var response = await server.Client.PostAsync(new Uri(path, UriKind.Relative), content).DefaultTimeout();
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.ToString());
        Assert.Equal("no-cache", response.Headers.CacheControl?.ToString());
        var text = await response.Content.ReadAsStringAsync().DefaultTimeout();
        return Varying().Replace(text, match => match.Value[1] switch
        {
            'i' => "\"id\":\"ID\"",
            's' => "\"system_fingerprint\":\"FP\"",
            'c' when match.Value.StartsWith("\"cr", StringComparison.Ordinal) => "\"created\":0",
            _ => "\"cached_tokens\":0",
        });
    }

    [GeneratedRegex("\"id\":\"[^\"]+\"|\"created\":[0-9]+|\"system_fingerprint\":\"fp_[0-9a-f]{10}\"|\"cached_tokens\":[0-9]+")]
    private static partial Regex Varying();
}
