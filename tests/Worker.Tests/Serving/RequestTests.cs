using System.Globalization;
using System.Text;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Tests.Serving;

/// <summary>What requests may say; each refusal names the field.</summary>
public class RequestTests
{
    public static TheoryData<string, string> WrongNumbers()
    {
        var data = new TheoryData<string, string>();
        foreach (var field in NumericField.All)
        {
            string[] wrong =
            [
                (field.Minimum - 1).ToString("R", CultureInfo.InvariantCulture), (field.Maximum + 1).ToString("R", CultureInfo.InvariantCulture), "1e308", "-1e308",
                "1e999", "\"\"", "\"1\"", "[]", "{}", "true", field.IsWhole ? "1.5" : "\"NaN\"",
            ];
            foreach (var value in wrong)
            {
                if (field != NumericField.Seed || value is not ("-9.223372036854776E+18" or "9.223372036854776E+18")) // beyond 53 bits a double is no integer's neighbour
                {
                    data.Add(field.Name, value);
                }
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(WrongNumbers))]
    public void Read_NumberOutOfRange_IsRefusedWithItsName(string name, string value)
    {
        var isChat = name is "top_logprobs";
        var error = Assert.Throws<ApiException>(() => isChat
            ? (object)Chat($$"""{"messages":[{"role":"user","content":"a"}],"logprobs":true,"{{name}}":{{value}}}""")
            : Complete($$"""{"prompt":"a","{{name}}":{{value}}}"""));

        Assert.Equal((name, "invalid_request_error", 400), (error.Param, error.Type, (int)error.Status));
        Assert.StartsWith($"{name} is ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"prompt":1}""", "prompt")]
    [InlineData("""{"prompt":[]}""", "prompt")]
    [InlineData("""{}""", "prompt")]
    [InlineData("""{"prompt":["a",1]}""", "prompt[1]")]
    [InlineData("""{"prompt":[1,"a"]}""", "prompt[1]")]
    [InlineData("""{"prompt":[1,-1]}""", "prompt[1]")]
    [InlineData("""{"prompt":"\ud800"}""", "prompt")]
    [InlineData("""{"prompt":"a","model":3}""", "model")]
    [InlineData("""{"prompt":"a","stop":""}""", "stop")]
    [InlineData("""{"prompt":"a","stop":["b",""]}""", "stop[1]")]
    [InlineData("""{"prompt":"a","stop":{}}""", "stop")]
    [InlineData("""{"prompt":"a","stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]}""", "stop")]
    [InlineData("""{"prompt":"a","echo":"yes"}""", "echo")]
    [InlineData("""{"prompt":"a","stream":1}""", "stream")]
    [InlineData("""{"prompt":"a","stream_options":{"include_usage":true}}""", "stream_options")]
    [InlineData("""{"prompt":"a","stream":true,"stream_options":true}""", "stream_options")]
    [InlineData("""{"prompt":"a","logit_bias":{"x":1}}""", "logit_bias")]
    [InlineData("""{"prompt":"a","logit_bias":{"\ud800":1}}""", null)] // no name
    [InlineData("""{"prompt":"a","prompt":"b"}""", null)]
    [InlineData("""["prompt"]""", null)]
    [InlineData("""{"prompt":"a"} {}""", null)]
    [InlineData("""{"prompt":"a",}""", null)]
    [InlineData("""{"prompt":"a","logit_bias":{"7":101}}""", "logit_bias[7]")]
    [InlineData("""{"prompt":"a","suffix":"b"}""", "suffix")]
    [InlineData("""{"prompt":"a","best_of":3}""", "best_of")]
    [InlineData("""{"prompt":"a","tools":[{"type":"function"}]}""", "tools")]
    [InlineData("""{"prompt":"a","tool_choice":"required"}""", "tool_choice")]
    [InlineData("""{"prompt":"a","response_format":{"type":"xml"}}""", "response_format.type")]
    [InlineData("""{"prompt":"a","response_format":{"type":"json_schema"}}""", "response_format.json_schema")]
    public void Read_CompletionThatCannotBe_NamesTheField(string body, string? param)
        => Assert.Equal(param, Assert.Throws<ApiException>(() => Complete(body)).Param);

    [Theory]
    [InlineData("""{}""", "messages")]
    [InlineData("""{"messages":[]}""", "messages")]
    [InlineData("""{"messages":"a"}""", "messages")]
    [InlineData("""{"messages":[1]}""", "messages[0]")]
    [InlineData("""{"messages":[{"content":"a"}]}""", "messages[0].role")]
    [InlineData("""{"messages":[{"role":"tool","content":"a"}]}""", "messages[0].role")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "messages[0].content")]
    [InlineData("""{"messages":[{"role":"user","content":null}]}""", "messages[0].content")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://a/b.png"}}]}]}""", "messages[0].content[0].type")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}],"top_logprobs":1}""", "top_logprobs")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}],"logprobs":2}""", "logprobs")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}],"max_tokens":0}""", "max_tokens")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}],"modalities":["text","audio"]}""", "modalities")]
    public void Read_ChatThatCannotBe_NamesTheField(string body, string param)
        => Assert.Equal(param, Assert.Throws<ApiException>(() => Chat(body)).Param);

    [Fact]
    public void Read_ChatOfParts_IsTheirText()
    {
        var request = Chat("""
            {"messages":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
             "max_tokens":5,"max_completion_tokens":7,"tools":[],"tool_choice":"none","stop":"x","n":2,"unknown":{"field":1},"user":"u",
             "temperature":null,"seed":-3,"logit_bias":{"7":-100},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}}
            """);

        Assert.Equal([("system", "s"), ("user", "ab")], request.Messages.Select(message => (message.Role, message.Content)));
        var generation = request.Generation;
        Assert.Equal((7, 2, -3L, null, -100f), (generation.MaxTokens, generation.N, generation.Seed, generation.Temperature, generation.LogitBias[7]));
        Assert.Equal(["x"], generation.Stop);
        Assert.Equal(new ResponseFormat(ResponseFormatKind.JsonSchema, """{"type":"object"}"""), generation.Format);
    }

    [Fact]
    public void Parse_BytesThatAreNoUtf8_AreRefused()
        => Assert.Throws<ApiException>(() => RequestBody.Parse((byte[])[.. "{\"prompt\":\""u8, 0xC3, .. "\"}"u8]));

    [Theory]
    [InlineData("\"a\"", 1)]
    [InlineData("[\"a\",\"b\"]", 2)]
    [InlineData("[1,2]", 1)]
    [InlineData("[[1,2],[3],[]]", 3)]
    [InlineData("[\"a\",[3]]", 2)]
    public void Read_PromptInAnyForm_IsSoManyPrompts(string prompt, int count)
        => Assert.Equal(count, Complete($$"""{"prompt":{{prompt}}}""").Prompts.Length);

    private static CompletionRequest Complete(string body)
    {
        using var document = RequestBody.Parse(Encoding.UTF8.GetBytes(body));
        return CompletionRequest.Read(new RequestFields(document.RootElement), null);
    }

    private static ChatRequest Chat(string body)
    {
        using var document = RequestBody.Parse(Encoding.UTF8.GetBytes(body));
        return ChatRequest.Read(new RequestFields(document.RootElement));
    }
}
