using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Distributed.Engine.Constraints;
using Distributed.Engine.Generation;
using Distributed.Engine.Sampling;
using Distributed.Engine.Serving;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Answers;

/// <summary>Turns what a client asks for into what the model is asked for.</summary>
/// <param name="model">What is served.</param>
internal sealed class AnswerPlanner(ServedModel model)
{
    // Below this, dividing by it is taking the largest.
    private const float LeastTemperature = 1e-6f;

    /// <summary>The choices of a chat answer.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="client">Whose request it is.</param>
    /// <exception cref="ApiException">It cannot be answered.</exception>
    public IReadOnlyList<ChoicePlan> Plan(ChatRequest request, string client)
    {
        const string Param = "messages";
        model.RequireName(request.Generation.Model);
        if (model.ChatFormat.HasSpecialTags(request.Messages))
        {
            throw ApiException.Field(Param, $"A message has marks of the chat format ({model.ChatFormat.Name}), which only the server may write; take them out.");
        }

        ImmutableArray<int> prompt;
        try
        {
            prompt = [.. model.ChatFormat.Encode(request.Messages, model.Tokenizer)];
        }
        catch (GenerationException exception)
        {
            throw ApiException.Field(Param, exception.Message);
        }

        var template = Template(prompt, Param, request.Generation, model.Defaults.MaxTokens, client) with
        {
            TopLogprobs = request.TopLogprobs ?? 0,
            StopTokenIds = model.ChatStopTokenIds,
        };
        return [.. Choices(template, request.Generation, 0)
            .Select((choice, number) => new ChoicePlan(
                number == 0, choice, request.Generation.Stop, Echo: [], ContinuesPrompt: false, request.TopLogprobs is not null, () => ConstraintOf(request.Generation.Format)))];
    }

    /// <summary>The choices of a text completion, those of a prompt beside each other.</summary>
    /// <inheritdoc cref="Plan(ChatRequest, string)"/>
    public IReadOnlyList<ChoicePlan> Plan(CompletionRequest request, string client)
    {
        model.RequireName(request.Generation.Model);
        var plans = new List<ChoicePlan>();
        foreach (var (index, field) in request.Prompts.Index())
        {
            var param = request.Prompts.Length == 1 ? "prompt" : string.Create(CultureInfo.InvariantCulture, $"prompt[{index}]");
            ImmutableArray<int> prompt = field.Text is { } text ? [.. model.Tokenizer.Encode(text, bos: true, eos: false)] : field.TokenIds;
            var template = Template(prompt, param, request.Generation, defaultMaxTokens: null, client) with
            {
                TopLogprobs = request.Logprobs ?? 0,
                ScorePrompt = request is { Echo: true, Logprobs: not null },
                StopTokenIds = model.EosTokenIds,
            };
            plans.AddRange(Choices(template, request.Generation, plans.Count).Select((choice, number) => new ChoicePlan(
                number == 0,
                choice,
                request.Generation.Stop,
                request.Echo ? prompt : [],
                ContinuesPrompt: true,
                request.Logprobs is not null,
                () => ConstraintOf(request.Generation.Format))));
        }

        return plans;
    }

    private InferenceRequest Template(ImmutableArray<int> prompt, string param, GenerationFields fields, int? defaultMaxTokens, string client)
    {
        RequireIds(prompt, param);
        var room = model.Limits.MaxSequenceLength - prompt.Length;
        var wanted = fields.MaxTokens ?? Math.Min(defaultMaxTokens ?? int.MaxValue, Math.Max(room, 1));
        if (wanted > room)
        {
            throw ApiException.Field(
                param,
                $"The context of {model.Limits.MaxSequenceLength} tokens is too short: {param} has {prompt.Length} and {wanted} new ones are wanted; "
                + "shorten it or lower max_tokens.",
                "context_length_exceeded");
        }

        var biased = fields.LogitBias.Keys.FirstOrDefault(id => id >= model.Limits.VocabularySize, -1);
        if (biased >= 0)
        {
            throw ApiException.Field("logit_bias", $"logit_bias has token id {biased}; this model's ids are 0 to {model.Limits.VocabularySize - 1}.");
        }

        var temperature = fields.Temperature ?? model.Defaults.Temperature;
        return new InferenceRequest
        {
            Prompt = prompt,
            MaxTokens = wanted,
            Temperature = temperature < LeastTemperature ? 0 : temperature,
            TopP = fields.TopP ?? model.Defaults.TopP,
            Seed = fields.Seed ?? model.Defaults.Seed ?? BitConverter.ToInt64(RandomNumberGenerator.GetBytes(sizeof(long))),
            FrequencyPenalty = fields.FrequencyPenalty,
            PresencePenalty = fields.PresencePenalty,
            LogitBias = fields.LogitBias,
            Client = client,
        };
    }

    private void RequireIds(ImmutableArray<int> prompt, string param)
    {
        if (prompt.IsEmpty)
        {
            throw ApiException.Field(param, $"{param} has no tokens; send at least one.");
        }

        foreach (var id in prompt)
        {
            if (id >= model.Limits.VocabularySize)
            {
                throw ApiException.Field(param, $"{param} has token id {id}; this model's ids are 0 to {model.Limits.VocabularySize - 1}.");
            }
        }
    }

    // Each is a draw of its own of the same seed, and has a constraint of its own.
    private IEnumerable<InferenceRequest> Choices(InferenceRequest template, GenerationFields fields, int first)
        => Enumerable.Range(first, fields.N).Select(row => template with { Row = row, Constraint = ConstraintOf(fields.Format) });

    private TokenConstraint? ConstraintOf(ResponseFormat format)
    {
        try
        {
            switch (format.Kind)
            {
                case ResponseFormatKind.JsonObject:
                    return model.Constraints.Value.JsonObject();
                case ResponseFormatKind.JsonSchema:
                    using (var schema = JsonDocument.Parse(format.Schema!)) // has been read as JSON
                    {
                        return model.Constraints.Value.JsonSchema(schema.RootElement);
                    }

                default:
                    return null;
            }
        }
        catch (SchemaException exception)
        {
            throw ApiException.Field(ResponseFormat.SchemaField, exception.Message);
        }
    }
}
