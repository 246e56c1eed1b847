using System.Text.Json;

namespace Distributed.Engine.Tests.Model;

/// <summary>Outputs of the reference: see the README of the data.</summary>
internal sealed class Golden
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public required int MaxSeqLen { get; init; }

    public required int MaxBatchSize { get; init; }

    public required Case[] Cases { get; init; }

    public Row[]? Logits { get; init; }

    public static Golden Read(string path) => JsonSerializer.Deserialize<Golden>(File.ReadAllBytes(path), Json)!;

    internal sealed record Case(string Name, int MaxGenLen, bool Echo, int EosId, Item[] Items);

    internal sealed record Item(int[] PromptTokens, int[] Tokens, float[]? Logprobs);

    internal sealed record Row(int[] Tokens, float[] LastLogits, float[][] Top8, float[] LogsumexpPerPosition, int[] ArgmaxPerPosition);
}
