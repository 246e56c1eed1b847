using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Fuzz;

/// <summary>
/// model.safetensors beside a config.json that says that it is quantised: every tile that any rank of any world size would read lies in the file, which
/// is read to see it. Groups of 20 hidden units and heads of 12 make ranks begin within tiles and blocks.
/// </summary>
internal sealed class QuantizedTarget : FuzzTarget
{
    /// <summary>A right config.json.</summary>
    public const string Config = """
        {"architectures": ["LlamaForCausalLM"], "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "vocab_size": 19, "rms_norm_eps": 1e-05, "tie_word_embeddings": false,
         "quantization_config": {"quant_method": "distributed", "version": 1, "format": "int4", "block_size": 32}}
        """;

    // Read as loading would, which must end in the mapping.
    private long _sink;

    private readonly string _header;
    private readonly long _byteCount;

    public QuantizedTarget() => (_header, _byteCount) = RightHeader();

    public override string Name => "quantized";

    public override string FileName => "model.safetensors";

    public override bool NeedsFile(byte[] input) => true;

    public override bool IsRefusal(Exception exception) => exception is CheckpointException;

    public override byte[] Make(Random random)
    {
        var header = JsonNode.Parse(_header)!.AsObject();
        if (random.Next(4) != 0)
        {
            Lie(random, header);
        }

        var text = random.Next(4) == 0 ? JsonMutator.Mutate(random, header) : System.Text.Encoding.UTF8.GetBytes(header.ToJsonString());
        var data = new byte[Math.Max(0, _byteCount + (random.Next(10) == 0 ? random.Next(-300, 301) : 0))];
        random.NextBytes(data);
        return [.. BitConverter.GetBytes((long)text.Length), .. text, .. data];
    }

    public override void Prepare(string folder) => File.WriteAllText(Path.Combine(folder, "config.json"), Config);

    public override void Read(byte[] input, string path)
    {
        using var checkpoint = CheckpointFolder.Open(Path.GetDirectoryName(path)!, tokenizerVocabularySize: null);
        Require(checkpoint.Quantization == TensorType.Int4, "the config says what it is");
        using var mapped = checkpoint.Map();
        foreach (var worldSize in (int[])[1, 2, 3, 8])
        {
            for (var rank = 0; rank < worldSize; rank++)
            {
                Read(checkpoint.Config, ShardPlan.Create(checkpoint.Config, worldSize, rank), name => mapped[name]);
            }
        }
    }

    // A right header, and the bytes that follow it.
    private static (string Header, long ByteCount) RightHeader()
    {
        using var document = JsonDocument.Parse(Config);
        var config = HuggingFaceConfig.Parse(new JsonNumbers(document.RootElement, "config.json")).Config;
        var header = new JsonObject();
        long end = 0;
        foreach (var tensor in LlamaTensors.Of(config, EmbeddingLayout.Whole))
        {
            var blocks = BlockShape.Of(config, tensor, TensorType.Int4);
            var shape = blocks?.FileShape ?? tensor.Shape;
            var begin = end;
            end += shape.Aggregate(blocks is null ? 2L : 1L, (product, extent) => product * extent);
            header[LlamaTensorNames.ToHuggingFace(tensor.Name)] = new JsonObject
            {
                ["dtype"] = blocks is null ? "BF16" : "U8",
                ["shape"] = new JsonArray([.. shape.Select(extent => (JsonNode?)extent)]),
                ["data_offsets"] = new JsonArray(begin, end),
            };
        }

        return (header.ToJsonString(), end);
    }

    private void Read(LlamaConfig config, ShardPlan plan, Func<string, StoredTensor> tensors)
    {
        var width = config.HeadDimension;
        const string Layer = "layers.0.";
        MatrixView[] views =
        [
            .. tensors($"{Layer}attention.wq.weight").Rows(plan.Heads.Start * width, plan.Heads.Count * width),
            .. tensors($"{Layer}attention.wk.weight").Rows(plan.KeyValueHeads.Start * width, plan.KeyValueHeads.Count * width),
            .. tensors($"{Layer}attention.wo.weight").Columns(plan.Heads.Start * width, plan.Heads.Count * width, plan.AttentionGroupCount),
            .. tensors($"{Layer}feed_forward.w1.weight").Rows(plan.Hidden.Start, plan.Hidden.Count),
            .. tensors($"{Layer}feed_forward.w2.weight").Columns(plan.Hidden.Start, plan.Hidden.Count, plan.HiddenGroupCount),
            .. tensors(LlamaTensors.Output).Rows(plan.Vocabulary.Start, plan.Vocabulary.Count),
        ];
        Require(views.All(view => view.RowCount > 0 && view.ColumnCount > 0), "a view has something");
        foreach (var view in views)
        {
            ReadTiles(view);
        }
    }

    private unsafe void ReadTiles(MatrixView view)
    {
        var tileCount = (view.FirstRow + view.RowCount + 7) / 8;
        var blockByteCount = view.Type == TensorType.Int8 ? 16 + 256 : 16 + 128;
        var least = (view.LeadLength + view.ColumnCount + 31) / 32 * blockByteCount; // groups with padding have more
        for (var tile = 0; tile < tileCount; tile++)
        {
            var bytes = (byte*)view.Data + (tile * view.RowByteCount);
            for (var at = 0; at < least; at += 64)
            {
                _sink += bytes[at];
            }

            _sink += bytes[least - 1];
        }
    }

    // One tensor is of another shape, type or length than it should be.
    private static void Lie(Random random, JsonObject header)
    {
        var tensor = header[random.Next(header.Count)]!.AsObject();
        switch (random.Next(4))
        {
            case 0:
                tensor["dtype"] = random.Next(2) == 0 ? "U8" : "I8";
                break;
            case 1:
                var shape = tensor["shape"]!.AsArray();
                shape[random.Next(shape.Count)] = Values.Number(random);
                break;
            case 2:
                tensor["shape"]!.AsArray().Add(1);
                break;
            default:
                tensor["data_offsets"]!.AsArray()[random.Next(2)] = Values.Number(random);
                break;
        }
    }
}
