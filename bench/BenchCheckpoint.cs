using System.Runtime.InteropServices;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Tokenizers;
using Google.Protobuf;

namespace Distributed.Bench;

/// <summary>A checkpoint of a public shape in Meta's layout, with seeded random bfloat16 weights, kept from run to run.</summary>
internal static class BenchCheckpoint
{
    private const int WordByteCount = sizeof(ulong);

    /// <summary>What a format quantises to; <see langword="null"/> for bfloat16 as it is.</summary>
    /// <exception cref="ArgumentException">There is no such format.</exception>
    public static TensorType? TypeOf(string format) => format switch
    {
        "bf16" => null,
        "int8" => TensorType.Int8,
        "int4" => TensorType.Int4,
        _ => throw new ArgumentException($"--dtype {format} is not one of bf16, int8 and int4."),
    };

    /// <summary>As the other one; a quantised checkpoint is the converted one of one shard, for any number of ranks.</summary>
    public static string At(string directory, string shape, int shardCount, string format)
    {
        if (TypeOf(format) is not { } type)
        {
            return At(directory, shape, shardCount);
        }

        var folder = Path.Combine(directory, $"{shape}-{format}");
        if (!Directory.Exists(folder))
        {
            Console.WriteLine($"writing {folder}");
            Convert(At(directory, shape, shardCount: 1), folder, new ConversionOptions { Layout = CheckpointLayout.HuggingFace, Quantization = type });
        }

        return folder;
    }

    /// <summary>
    /// Brings all of a checkpoint into the page cache, from which a system with much else to do, or one that gives memory back to its host, takes pages at any time.
    /// </summary>
    public static unsafe void Warm(string folder)
    {
        foreach (var path in Directory.GetFiles(folder))
        {
            using var file = ShardFile.Open(path);
            using var mapping = new MappedFile(file);
            var sum = 0;
            for (long offset = 0; offset < file.ByteCount; offset += Environment.SystemPageSize)
            {
                sum += ((byte*)mapping.Start)[offset];
            }

            GC.KeepAlive(sum);
        }
    }

    /// <summary>Converts a checkpoint of the bench, whose tokenizer comes along.</summary>
    public static void Convert(string source, string folder, ConversionOptions conversion)
    {
        using (var checkpoint = CheckpointFolder.Open(source, tokenizerVocabularySize: null))
        {
            CheckpointConverter.Convert(checkpoint, folder, conversion);
        }

        File.Copy(Path.Combine(source, "tokenizer.model"), Path.Combine(folder, "tokenizer.model"));
    }

    /// <summary>Writes the checkpoint unless it is there.</summary>
    /// <returns>Its folder.</returns>
    public static string At(string directory, string shape, int shardCount)
    {
        var folder = Path.Combine(directory, $"{shape}-mp{shardCount}");
        if (Directory.Exists(folder))
        {
            return folder;
        }

        var partial = $"{folder}.partial";
        Directory.CreateDirectory(partial);
        var config = BenchShape.Named(shape);
        for (var shard = 0; shard < shardCount; shard++)
        {
            Console.WriteLine($"writing {folder}, shard {shard + 1} of {shardCount}");
            MetaShardWriter.Write(
                Path.Combine(partial, $"consolidated.{shard:00}.pth"),
                [.. LlamaTensors.Of(config, EmbeddingLayout.SplitByDimension).Select((tensor, number) => Tensor(tensor, number, shard, shardCount))],
                CancellationToken.None);
        }

        File.WriteAllText(Path.Combine(partial, "params.json"), $$"""
            {"dim": {{config.Dimension}}, "n_layers": {{config.LayerCount}}, "n_heads": {{config.HeadCount}}, "n_kv_heads": {{config.KeyValueHeadCount}},
             "vocab_size": {{config.VocabularySize}}, "multiple_of": 256, "norm_eps": 1e-05}
            """);
        File.WriteAllBytes(Path.Combine(partial, "tokenizer.model"), Tokenizer(config.VocabularySize));
        Directory.Move(partial, folder);
        return folder;
    }

    // Norms, which all shards have alike, do not depend on the shard.
    private static ShardTensor Tensor(LlamaTensor tensor, int number, int shard, int shardCount)
    {
        var seed = ((ulong)number << 8) | (tensor.Split == TensorSplit.Replicated ? 0 : (ulong)shard);
        return new ShardTensor(
            tensor.Name, TensorType.BFloat16, tensor.ShapeInShard(shardCount), (offset, bytes) => Fill(seed, offset, bytes));
    }

    private static void Fill(ulong seed, long offset, Span<byte> bytes)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (var i = 0; i < words.Length; i++)
        {
            words[i] = Weights(seed, offset + ((long)i * WordByteCount));
        }

        if (bytes.Length % WordByteCount is > 0 and var rest)
        {
            BitConverter.GetBytes(Weights(seed, offset + bytes.Length - rest)).AsSpan(0, rest).CopyTo(bytes[^rest..]);
        }
    }

    // SplitMix64. Four weights of both signs, magnitudes from 2^-6 to 2^-5: products of some thousands of them stay near 1.
    private static ulong Weights(ulong seed, long offset)
    {
        var bits = (seed * 0xD1B54A32D192ED03) + ((ulong)offset * 0x9E3779B97F4A7C15);
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
        return ((bits ^ (bits >> 31)) & 0x807F807F807F807F) | 0x3C803C803C803C80;
    }

    // A SentencePiece model of numbered words; the bench feeds ids.
    private static byte[] Tokenizer(int vocabularySize)
    {
        var model = new MemoryStream();
        using (var output = new CodedOutputStream(model, leaveOpen: true))
        {
            for (var id = 0; id < vocabularySize; id++)
            {
                var (text, kind) = id switch
                {
                    0 => ("<unk>", PieceKind.Unknown),
                    1 => ("<s>", PieceKind.Control),
                    2 => ("</s>", PieceKind.Control),
                    _ => ($"\u2581w{id}", PieceKind.Normal),
                };
                WriteMessage(output, 1, piece =>
                {
                    piece.WriteTag(1, WireFormat.WireType.LengthDelimited);
                    piece.WriteString(text);
                    piece.WriteTag(2, WireFormat.WireType.Fixed32);
                    piece.WriteFloat(-id);
                    WriteNumber(piece, 3, (int)kind);
                });
            }

            WriteMessage(output, 2, trainer => WriteNumber(trainer, 3, 2)); // byte-pair encoding
            WriteMessage(output, 3, normalizer => WriteNumber(normalizer, 4, 0));
        }

        return model.ToArray();
    }

    private static void WriteNumber(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }

    private static void WriteMessage(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        var message = new MemoryStream();
        using (var inner = new CodedOutputStream(message, leaveOpen: true))
        {
            write(inner);
        }

        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(message.ToArray()));
    }
}
