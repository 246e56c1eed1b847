using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Distributed.Protos;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Grpc;

/// <summary>
/// Requests of the gRPC service as those of the HTTP routes, in JSON: so there is one reader, with one table of ranges and one sentence for each mistake.
/// </summary>
internal static class InferenceJson
{
    /// <summary>The body of the same request to <c>/v1/completions</c>, which the caller disposes.</summary>
    public static RequestBody Of(CompleteRequest request) => Write(json =>
    {
        json.WriteStartArray("prompt");
        foreach (var prompt in request.Prompts)
        {
            if (prompt.FormCase == Prompt.FormOneofCase.TokenIds)
            {
                json.WriteStartArray();
                foreach (var id in prompt.TokenIds.Ids)
                {
                    json.WriteNumberValue(id);
                }

                json.WriteEndArray();
            }
            else
            {
                json.WriteStringValue(prompt.Text);
            }
        }

        json.WriteEndArray();
        json.WriteBoolean("echo", request.Echo);
        if (request.Generation is { } generation)
        {
            WriteGeneration(json, generation);
            if (generation.HasLogprobs)
            {
                json.WriteNumber("logprobs", generation.Logprobs);
            }
        }
    });

    /// <summary>The body of the same request to <c>/v1/chat/completions</c>, which the caller disposes.</summary>
    public static RequestBody Of(Protos.ChatRequest request) => Write(json =>
    {
        json.WriteStartArray("messages");
        foreach (var message in request.Messages)
        {
            json.WriteStartObject();
            json.WriteString("role", message.Role);
            json.WriteString("content", message.Content);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (request.Generation is { } generation)
        {
            WriteGeneration(json, generation);
            if (generation.HasLogprobs)
            {
                json.WriteBoolean("logprobs", true);
                json.WriteNumber("top_logprobs", generation.Logprobs);
            }
        }
    });

    private static RequestBody Write(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return RequestBody.Parse(buffer.WrittenMemory);
    }

    private static void WriteGeneration(Utf8JsonWriter json, GenerationRequest generation)
    {
        Write("model", generation.HasModel, () => json.WriteStringValue(generation.Model));
        Write("max_tokens", generation.HasMaxTokens, () => json.WriteNumberValue(generation.MaxTokens));
        Write("temperature", generation.HasTemperature, () => WriteNumber(json, generation.Temperature));
        Write("top_p", generation.HasTopP, () => WriteNumber(json, generation.TopP));
        Write("n", generation.HasN, () => json.WriteNumberValue(generation.N));
        Write("seed", generation.HasSeed, () => json.WriteNumberValue(generation.Seed));
        Write("frequency_penalty", generation.HasFrequencyPenalty, () => WriteNumber(json, generation.FrequencyPenalty));
        Write("presence_penalty", generation.HasPresencePenalty, () => WriteNumber(json, generation.PresencePenalty));
        json.WriteStartObject("logit_bias");
        foreach (var (id, bias) in generation.LogitBias)
        {
            json.WritePropertyName(id.ToString(CultureInfo.InvariantCulture));
            WriteNumber(json, bias);
        }

        json.WriteEndObject();
        json.WriteStartArray("stop");
        foreach (var stop in generation.Stop)
        {
            json.WriteStringValue(stop);
        }

        json.WriteEndArray();
        WriteFormat(json, generation);

        void Write(string name, bool isGiven, Action write)
        {
            if (isGiven)
            {
                json.WritePropertyName(name);
                write();
            }
        }
    }

    private static void WriteFormat(Utf8JsonWriter json, GenerationRequest generation)
    {
        switch (generation.ResponseFormatCase)
        {
            case GenerationRequest.ResponseFormatOneofCase.JsonObject when generation.JsonObject:
                json.WriteStartObject("response_format");
                json.WriteString("type", "json_object");
                json.WriteEndObject();
                break;
            case GenerationRequest.ResponseFormatOneofCase.JsonSchema:
                json.WriteStartObject("response_format");
                json.WriteString("type", "json_schema");
                json.WriteStartObject("json_schema");
                json.WritePropertyName("schema");
                WriteSchema(json, generation.JsonSchema);
                json.WriteEndObject();
                json.WriteEndObject();
                break;
        }
    }

    private static void WriteSchema(Utf8JsonWriter json, string schema)
    {
        try
        {
            json.WriteRawValue(schema);
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException) // an empty one is an argument out of range
        {
            throw ApiException.Field("json_schema", "json_schema is not JSON; send a JSON schema.");
        }
    }

    // What JSON has no number for is a text there, which is refused by the field's name.
    private static void WriteNumber(Utf8JsonWriter json, double number)
    {
        if (double.IsFinite(number))
        {
            json.WriteNumberValue(number);
        }
        else
        {
            json.WriteStringValue(number.ToString(CultureInfo.InvariantCulture));
        }
    }
}
