using System.Text.Json;
using Distributed.Worker.Output;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Requests;
using Distributed.Worker.Serving.Responses;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Routes;

/// <summary><c>/v1/models</c>, <c>/tokenize</c> and <c>/detokenize</c>: what can be said of the model without running it.</summary>
internal sealed class ModelRoutes(ServedModel model)
{
    /// <summary>The one model.</summary>
    public Task ListAsync(HttpContext context) => JsonResponse.SendAsync(context.Response, json =>
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        WriteModel(json);
        json.WriteEndArray();
        json.WriteEndObject();
    });

    /// <summary>The model of the name in the path.</summary>
    public Task GetAsync(HttpContext context)
    {
        model.RequireName(context.Request.RouteValues["id"] as string ?? "");
        return JsonResponse.SendAsync(context.Response, WriteModel);
    }

    /// <summary>A text as token ids: <c>{"content" or "prompt", "add_special", "with_pieces"}</c>, as llama.cpp and vLLM take it.</summary>
    public async Task TokenizeAsync(HttpContext context)
    {
        using var body = await RequestBody.ReadAsync(context.Request);
        var fields = body.Fields;
        model.RequireName(fields.Text("model"));
        var text = fields.Text("content") ?? fields.Text("prompt")
            ?? throw ApiException.Field("content", "content is missing; it is the text to tokenize.");
        // llama.cpp adds BOS where it is asked to, vLLM where it is not asked not to.
        var bos = fields["content"] is not null ? fields.Flag("add_special") : fields.Flag("add_special_tokens", absent: true);
        var ids = model.Tokenizer.Encode(text, bos, eos: false);
        var withPieces = fields.Flag("with_pieces");
        await JsonResponse.SendAsync(context.Response, json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("tokens");
            foreach (var id in ids)
            {
                WriteToken(json, id, withPieces);
            }

            json.WriteEndArray();
            json.WriteNumber("count", ids.Length);
            json.WriteNumber("max_model_len", model.Limits.MaxSequenceLength);
            json.WriteEndObject();
        });
    }

    /// <summary>Token ids as text: <c>{"tokens": [...]}</c>.</summary>
    public async Task DetokenizeAsync(HttpContext context)
    {
        using var body = await RequestBody.ReadAsync(context.Request);
        var fields = body.Fields;
        model.RequireName(fields.Text("model"));
        if (fields["tokens"] is not { ValueKind: JsonValueKind.Array } list)
        {
            throw ApiException.Field("tokens", "tokens must be a list of token ids.");
        }

        var ids = fields.TokenIdLists("tokens") is [var only] ? only : RequestFields.TokenIds(list, "tokens");
        foreach (var id in ids)
        {
            if (id >= model.Tokenizer.VocabularySize)
            {
                throw ApiException.Field("tokens", $"tokens has id {id}; this model's ids are 0 to {model.Tokenizer.VocabularySize - 1}.");
            }
        }

        var text = model.Tokenizer.Decode(ids.AsSpan());
        await JsonResponse.SendAsync(context.Response, json =>
        {
            json.WriteStartObject();
            json.WritePlain("content", text); // llama.cpp's name
            json.WritePlain("prompt", text); // vLLM's
            json.WriteEndObject();
        });
    }

    private void WriteToken(Utf8JsonWriter json, int id, bool withPiece)
    {
        if (!withPiece)
        {
            json.WriteNumberValue(id);
            return;
        }

        json.WriteStartObject();
        json.WriteNumber("id", id);
        json.WritePlain("piece", model.Tokenizer.Piece(id));
        json.WriteEndObject();
    }

    private void WriteModel(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WritePlain("id", model.Name);
        json.WriteString("object", "model");
        json.WriteNumber("created", model.Created);
        json.WriteString("owned_by", "distributed");
        json.WriteNumber("max_model_len", model.Limits.MaxSequenceLength);
        json.WriteEndObject();
    }
}
