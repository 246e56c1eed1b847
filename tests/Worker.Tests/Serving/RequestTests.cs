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

    /// <summary>JSON permits some control characters as they are; a terminal that shows the refusal must not get them.</summary>
    [Theory]
    [InlineData("{\"prompt\":[[\"a\u007Fb\",2]]}")]
    [InlineData("{\"prompt\":\"a\",\"echo\":\"a\u009Bb\"}")]
    public void Read_ControlCharacterInAValue_IsNotShown(string body)
        => Assert.Contains("\"a?b\"", Assert.Throws<ApiException>(() => Complete(body)).Message, StringComparison.Ordinal);

    /// <summary>A list of ids that the document does not have is the list that it would have had.</summary>
    [Fact]
    public void Read_ManyTokenIds_AreThoseOfTheBody()
    {
        var ids = Enumerable.Range(0, 200_000).ToArray();

        var request = Complete($$"""{"n":2,"prompt":[[{{string.Join(", ", ids)}}],[7]],"stop":["x"],"tokens":[1]}""");

        Assert.Equal(ids, request.Prompts[0].TokenIds);
        Assert.Equal([7], request.Prompts[1].TokenIds);
        Assert.Equal((2, "x"), (request.Generation.N, request.Generation.Stop[0]));
    }

    /// <summary>Bodies of the greatest size, each of one kind of value: what reading them allocates, garbage included, is some times their bytes, also where the
    /// runtime's pool has no array for the document's places, which are up to 4 MiB.</summary>
    [Theory]
    [InlineData("{'prompt':[", "1,", "1]}")]
    [InlineData("{'prompt':[[", "1,", "1]]}")]
    [InlineData("{'prompt':[", "[1],", "[1]]}")] // more prompts than there may be
    [InlineData("{'prompt':[", "-1,", "1]}")]
    [InlineData("{'x':[", "1,", "1]}")]
    [InlineData("{'x':[", "[],", "1]}")]
    [InlineData("{'x':[", "{'a':0},", "1]}")]
    [InlineData("{'prompt':'a','logit_bias':{", "'#':0,", "'0':0}}")]
    [InlineData("{'prompt':'a',", "'#':0,", "'0':0}")]
    [InlineData("{'prompt':'a','stop':[", "'#',", "'0']}")]
    [InlineData("{'prompt':'a','x':{'y':[", "'#',", "'0']}}")]
    [InlineData("{'prompt':'", "a", "'}")]
    [InlineData("{'prompt':'", "\\n", "'}")]
    [InlineData("{'messages':[", "{'role':'user','content':'a'},", "{'role':'user','content':'a'}]}")]
    [InlineData("{'messages':[{'role':'user','content':[", "{'type':'text','text':'a'},", "{'type':'text','text':'a'}]}]}")]
    [InlineData("{'messages':[{'role':'user','content':[", "{'type':'text','text':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'},", "{'type':'text','text':'a'}]}]}")]
    [InlineData("{'prompt':'a','logit_bias':{'1':1},'x':[", "1234567890123456,", "1]}")]
    [InlineData("{'prompt':'a','x':{", "'#123456789012345678901234':0,", "'y':1}}")]
    public void Parse_LargestBody_TakesSomeTimesItsBytes(string begin, string part, string end)
    {
        const int Length = 2 << 20;
        var text = new StringBuilder(begin, Length + 100);
        for (var number = 0; text.Length + part.Length + end.Length + 8 < Length; number++)
        {
            text.Append(part.Replace("#", number.ToString("x", CultureInfo.InvariantCulture), StringComparison.Ordinal));
        }

        var json = Encoding.UTF8.GetBytes(text.Append(end).Replace('\'', '"').ToString());
        var before = GC.GetAllocatedBytesForCurrentThread();
        var error = Record.Exception(() =>
        {
            using var body = RequestBody.Parse(json);
            return begin.Contains("messages", StringComparison.Ordinal) ? (object)ChatRequest.Read(body.Fields) : CompletionRequest.Read(body.Fields, null);
        });
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.True(error is null or ApiException, $"{error}");
        Assert.InRange(allocated, 0, 6 * Length);
    }

    private static CompletionRequest Complete(string json)
    {
        using var body = RequestBody.Parse(Encoding.UTF8.GetBytes(json));
        return CompletionRequest.Read(body.Fields, null);
    }

    private static ChatRequest Chat(string json)
    {
        using var body = RequestBody.Parse(Encoding.UTF8.GetBytes(json));
        return ChatRequest.Read(body.Fields);
    }
}
