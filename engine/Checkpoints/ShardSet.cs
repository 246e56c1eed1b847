namespace Distributed.Engine.Checkpoints;

/// <summary>The shards of one checkpoint, held against each other and against params.json.</summary>
internal sealed class ShardSet(IReadOnlyList<ShardFile> files, IReadOnlyList<ShardIndex> shards)
{
    private const int CompareByteCount = 64 * 1024;

    private string Shards => shards.Count == 1 ? "1 shard" : $"{shards.Count} shards";

    /// <summary>Proves that the shards together are one Llama of the shape that <paramref name="parameters"/> give.</summary>
    /// <exception cref="CheckpointException">They are not; the first tensor that does not fit is named.</exception>
    public (LlamaConfig Config, EmbeddingLayout Layout) Validate(LlamaParameters parameters, int? tokenizerVocabularySize)
    {
        var vocabularySize = VocabularySizeOf(parameters, tokenizerVocabularySize);
        var config = parameters.ToConfig(vocabularySize);
        if (LlamaTensors.RequireDivisible(config, shards.Count) is { } problem)
        {
            throw files[0].Error($"cannot be a shard of this model: {problem}");
        }

        var layout = LayoutOf(config);
        var expected = LlamaTensors.Of(config, layout).ToList();
        if (shards.All(shard => !shard.Tensors.ContainsKey(LlamaTensors.Output)))
        {
            RequireTieable(layout);
            expected.RemoveAll(tensor => tensor.Name == LlamaTensors.Output);
        }

        for (var shard = 0; shard < shards.Count; shard++)
        {
            RequireTensors(shard, expected);
        }

        RequireOneType(expected);
        foreach (var tensor in expected.Where(tensor => tensor.Split == TensorSplit.Replicated))
        {
            RequireEqualBytes(tensor.Name);
        }

        return (config, layout);
    }

    /// <summary>params.json, the tokenizer and the rows of the tensors must agree on the number of token ids.</summary>
    private int VocabularySizeOf(LlamaParameters parameters, int? tokenizerVocabularySize)
    {
        // Both layouts divide output.weight by rows; without it a whole embedding has all of them, and only then.
        var rows = RowsOf(LlamaTensors.Output) * shards.Count ?? (shards.Count == 1 ? RowsOf(LlamaTensors.Embedding) : null);
        var size = parameters.VocabularySize ?? tokenizerVocabularySize ?? rows
            ?? throw files[0].Error("lacks output.weight, which has the number of tokens where vocab_size is -1; set it in params.json");
        if (tokenizerVocabularySize is { } tokens && tokens != size)
        {
            throw new CheckpointException(
                $"The tokenizer has {tokens} tokens but params.json has vocab_size {size}; use the checkpoint's own tokenizer.model.");
        }

        if (size > LlamaParameters.MaxVocabularySize)
        {
            throw files[0].Error($"has rows for {size} tokens, more than {LlamaParameters.MaxVocabularySize}");
        }

        if (rows is { } found && found != size)
        {
            throw files[0].Error(parameters.VocabularySize is null && size % found == 0
                ? $"has rows for {found} of the tokenizer's {size} tokens; download the missing shards, or use the checkpoint's own tokenizer.model"
                : parameters.VocabularySize is null
                ? $"has rows for {found} tokens but the tokenizer has {size}; use the checkpoint's own tokenizer.model"
                : $"has rows for {found} tokens but params.json has vocab_size {size}; the two are not of one model");
        }

        return (int)size;
    }

    /// <summary>The rows of a matrix in the first shard; <see langword="null"/> where it has none of this name.</summary>
    private long? RowsOf(string name)
        => shards[0].Tensors.TryGetValue(name, out var tensor) && tensor.Shape.Length == 2 ? tensor.Shape[0] : null;

    /// <summary>Llama 2 and 3 divide the embedding along different extents and no file says which: the shapes do.</summary>
    private EmbeddingLayout LayoutOf(LlamaConfig config)
    {
        if (shards.Count == 1)
        {
            return EmbeddingLayout.Whole;
        }

        ReadOnlySpan<long> shape = shards[0].Tensors.TryGetValue(LlamaTensors.Embedding, out var embedding) ? embedding.Shape.AsSpan() : [];
        long rows = config.VocabularySize, columns = config.Dimension;
        return shape switch
        {
            _ when shape.SequenceEqual([rows, columns / shards.Count]) => EmbeddingLayout.SplitByDimension,
            _ when shape.SequenceEqual([rows / shards.Count, columns]) => EmbeddingLayout.SplitByVocabulary,
            [] => throw files[0].Error($"lacks tensor '{LlamaTensors.Embedding}'; it is not a shard of a Llama, or the file is incomplete"),
            _ => throw files[0].Error($"has tensor '{LlamaTensors.Embedding}' as {TensorLayout.Format(shape)}, but with {Shards} the model "
                + $"of params.json has it as {TensorLayout.Format([rows, columns / shards.Count])} or "
                + $"{TensorLayout.Format([rows / shards.Count, columns])}; the two are not of one model"),
        };
    }

    /// <summary>
    /// A model without output.weight uses the embedding in its place, whose rows a shard must then have as it would have output's.
    /// </summary>
    private void RequireTieable(EmbeddingLayout layout)
    {
        if (layout == EmbeddingLayout.SplitByDimension)
        {
            throw files[0].Error($"lacks tensor '{LlamaTensors.Output}', and the embedding, which is divided by columns, "
                + "cannot take its place; the file is incomplete");
        }
    }

    private void RequireTensors(int shard, List<LlamaTensor> expected)
    {
        var tensors = shards[shard].Tensors;
        foreach (var tensor in expected)
        {
            if (!tensors.TryGetValue(tensor.Name, out var found))
            {
                throw files[shard].Error(
                    $"lacks tensor '{tensor.Name}', which the model of params.json has; the file is incomplete or of another model");
            }

            var shape = tensor.ShapeInShard(shards.Count).AsSpan();
            if (!found.Shape.AsSpan().SequenceEqual(shape))
            {
                throw files[shard].Error($"has tensor '{tensor.Name}' as {TensorLayout.Format(found.Shape.AsSpan())}, but with "
                    + $"{Shards} the model of params.json has it as {TensorLayout.Format(shape)}; the two are not of one model");
            }

            if (found.Type.TensorType is null)
            {
                throw files[shard].Error($"has tensor '{tensor.Name}' in {found.Type.Name}; save it again in float32, bfloat16 or float16");
            }
        }

        var names = expected.Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
        if (tensors.Keys.Where(name => !names.Contains(name) && !LlamaTensors.IsIgnored(name)).Min(StringComparer.Ordinal) is { } other)
        {
            throw files[shard].Error($"has tensor '{other}', which the model of params.json does not have; the two are not of one model");
        }
    }

    private void RequireOneType(List<LlamaTensor> expected)
    {
        var first = shards[0].Tensors[LlamaTensors.Embedding];
        for (var shard = 0; shard < shards.Count; shard++)
        {
            foreach (var found in expected.Select(tensor => shards[shard].Tensors[tensor.Name]).Where(found => found.Type != first.Type))
            {
                throw files[shard].Error($"has tensor '{found.Name}' in {found.Type.Name} but '{first.Name}' of the first "
                    + $"shard is {first.Type.Name}; save all tensors in one type");
            }
        }
    }

    /// <summary>Every rank uses its own copy of the norms, so shards with different ones would drift apart without a word.</summary>
    private void RequireEqualBytes(string name)
    {
        var first = shards[0].Tensors[name];
        var expected = new byte[(int)Math.Min(first.ByteCount, CompareByteCount)];
        var actual = new byte[expected.Length];
        for (long done = 0; done < first.ByteCount && shards.Count > 1; done += expected.Length)
        {
            var count = (int)Math.Min(expected.Length, first.ByteCount - done);
            files[0].Read(first.Offset + done, expected.AsSpan(0, count));
            for (var shard = 1; shard < shards.Count; shard++)
            {
                files[shard].Read(shards[shard].Tensors[name].Offset + done, actual.AsSpan(0, count));
                if (!actual.AsSpan(0, count).SequenceEqual(expected.AsSpan(0, count)))
                {
                    throw files[shard].Error(
                        $"has another '{name}' than the first shard, which all shards share; the files are of different checkpoints");
                }
            }
        }
    }
}
