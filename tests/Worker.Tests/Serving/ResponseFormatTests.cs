using System.Text.Json;

namespace Distributed.Worker.Tests.Serving;

/// <summary>response_format, on the demo model, which has never seen JSON.</summary>
public sealed class ResponseFormatTests(TestServer server) : IClassFixture<TestServer>
{
    private const string Schema = """
        {"type":"object","properties":{
            "name":{"type":"string","minLength":1,"maxLength":12},
            "kind":{"enum":["fox","bear"]},
            "age":{"type":"integer","minimum":1,"maximum":99},
            "friends":{"type":"array","items":{"type":"string","maxLength":5},"maxItems":2}},
         "required":["name","kind","age","friends"],"additionalProperties":false}
        """;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Chat_JsonSchema_AnswersSatisfyIt(int temperature)
    {
        var answer = await server.PostAsync("/v1/chat/completions", $$$"""
            {"messages":[{"role":"user","content":"Who are you?"}],"n":4,"seed":5,"temperature":{{{temperature}}},"max_tokens":150,
             "response_format":{"type":"json_schema","json_schema":{"name":"animal","strict":true,"schema":{{{Schema}}} } } }
            """);

        foreach (var choice in answer.GetProperty("choices").EnumerateArray())
        {
            Assert.Equal("stop", choice.GetProperty("finish_reason").GetString());
            using var document = JsonDocument.Parse(choice.GetProperty("message").GetProperty("content").GetString()!);
            var value = document.RootElement;
            Assert.Equal(["name", "kind", "age", "friends"], value.EnumerateObject().Select(property => property.Name));
            Assert.InRange(value.GetProperty("name").GetString()!.EnumerateRunes().Count(), 1, 12);
            Assert.Contains(value.GetProperty("kind").GetString(), (string[])["fox", "bear"]);
            Assert.InRange(value.GetProperty("age").GetInt32(), 1, 99);
            Assert.InRange(value.GetProperty("friends").GetArrayLength(), 0, 2);
        }
    }

    [Fact]
    public async Task Complete_JsonObject_AnswerIsOneOrItsBeginning()
    {
        var answer = await server.PostAsync("/v1/completions", """{"prompt":"JSON:","seed":3,"temperature":1,"max_tokens":150,"n":3,"response_format":{"type":"json_object"}}""");

        foreach (var choice in answer.GetProperty("choices").EnumerateArray())
        {
            var text = choice.GetProperty("text").GetString()!;
            Assert.Equal('{', text.TrimStart(' ')[0]);
            if (choice.GetProperty("finish_reason").GetString() == "stop")
            {
                using var document = JsonDocument.Parse(text);
                Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
            }
        }
    }

    [Fact]
    public async Task Complete_SchemaThatCannotBeEnforced_IsRefusedWithItsPlace()
    {
        var error = (await server.PostAsync(
            "/v1/completions",
            """{"prompt":"a","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"not":{}}}}}}}""",
            status: 400)).GetProperty("error");

        Assert.Equal("The schema at #/properties/a uses 'not', which cannot be enforced; remove it.", error.GetProperty("message").GetString());
        Assert.Equal("response_format.json_schema.schema", error.GetProperty("param").GetString());
    }
}
