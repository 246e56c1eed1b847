using System.Text.Json.Nodes;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Fuzz;

/// <summary>Bodies of requests to the server: what is accepted is within its limits, and a refusal names a field of the request or none.</summary>
internal sealed class RequestTarget : FuzzTarget
{
    private static readonly string[] Chats =
    [
        """
        {"model": "demo", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}]}], "max_completion_tokens": 7, "temperature": 0.5,
         "top_p": 0.9, "n": 2, "stop": ["a", "b"], "stream": true, "stream_options": {"include_usage": true}, "seed": 5, "logprobs": true, "top_logprobs": 3, "presence_penalty": 1,
         "frequency_penalty": -1, "logit_bias": {"5": 1.5, "6": -100}, "user": "u", "tools": [], "tool_choice": "none",
         "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}
        """,
        """{"messages": [{"role": "user", "content": "a"}]}""",
    ];

    private static readonly string[] Completions =
    [
        """{"prompt": ["a", "b"], "max_tokens": 0, "echo": true, "logprobs": 2, "n": 3, "best_of": 3, "suffix": "", "stop": "x", "response_format": {"type": "json_object"}}""",
        """{"prompt": [[1, 2, 3], [4]], "logit_bias": {"1": 1}}""",
        """{"prompt": [1, 2, 3]}""",
    ];

    public override string Name => "request";

    public override string FileName => "body.json";

    public override byte[] Make(Random random)
    {
        var bodies = random.Next(2) == 0 ? Chats : Completions;
        return JsonMutator.Mutate(random, JsonNode.Parse(bodies[random.Next(bodies.Length)])!);
    }

    public override bool IsRefusal(Exception exception)
        => exception is ApiException error && (int)error.Status is >= 400 and < 500 && (error.Param is null || error.Param.Length < 200);

    public override void Read(byte[] input, string path)
    {
        using var body = RequestBody.Parse(input);
        var fields = body.Fields;
        if (fields["messages"] is null)
        {
            var completion = CompletionRequest.Read(fields, defaultMaxTokens: null);
            Require(completion.Prompts.Length * completion.Generation.N is >= 1 and <= NumericField.MaxChoiceCount, "so many texts");
            Require(completion.Prompts.All(prompt => prompt.Text is not null || prompt.TokenIds.All(id => id >= 0)), "ids");
            Check(completion.Generation, completion.Logprobs);
            return;
        }

        var chat = ChatRequest.Read(fields);
        Require(chat.Messages.Count >= 1 && chat.Messages.All(message => message.Role is "system" or "user" or "assistant"), "messages");
        Require(chat.Generation.MaxTokens is null or > 0, "max_tokens");
        Check(chat.Generation, chat.TopLogprobs);
    }

    private static void Check(GenerationFields fields, int? logprobs)
    {
        Require(fields.Temperature is null or (>= 0 and <= 2) && fields.TopP is null or (>= 0 and <= 1), "temperature and top_p");
        Require(fields.FrequencyPenalty is >= -2 and <= 2 && fields.PresencePenalty is >= -2 and <= 2, "penalties");
        Require(fields.N is >= 1 and <= 8 && fields.MaxTokens is null or >= 0 && logprobs is null or (>= 0 and <= 20), "counts");
        Require(fields.LogitBias.All(bias => bias.Key >= 0 && bias.Value is >= -100 and <= 100), "logit_bias");
        Require(fields.Stop.Length <= 16 && fields.Stop.All(stop => stop.Length is >= 1 and <= 256), "stop");
    }
}
