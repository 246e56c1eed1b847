using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Tests.Model;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Checkpoints whose matrices were quantised by a conversion: mapped as they are, with the bits of quantising while loading.</summary>
public sealed class QuantizedCheckpointTests : IDisposable
{
    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(TensorType.Int8, WeightFormat.Int8)]
    [InlineData(TensorType.Int4, WeightFormat.Int4)]
    public void Load_AnyWorldSize_GivesTheBitsOfQuantisingOnLoad(TensorType type, WeightFormat format)
    {
        Convert(Repository.DemoCheckpoint, "small", type);

        foreach (var worldSize in new[] { 1, 2, 4, 8 })
        {
            Assert.Equal(Logits(Repository.DemoCheckpoint, worldSize, format), Logits(_folder["small"], worldSize, WeightFormat.Stored));
        }

        Assert.Equal(Logits(Repository.DemoCheckpoint, 2, format), Logits(_folder["small"], 4, format)); // asked for what it is
        var stages = new ModelMesh { StageCount = 2, StageSize = 2 };
        Assert.Equal(Logits(Repository.DemoCheckpoint, 1, format), Logits(_folder["small"], 4, WeightFormat.Stored, stages));
    }

    /// <summary>Heads and groups of whole blocks, as all but tiny models have them: then other world sizes have the same blocks too.</summary>
    [Theory]
    [InlineData(TensorType.Int8, WeightFormat.Int8)]
    [InlineData(TensorType.Int4, WeightFormat.Int4)]
    public void Load_WholeBlocksOnAnyWorldSize_GivesTheBitsOfQuantisingOnLoad(TensorType type, WeightFormat format)
    {
        const string Parameters = """{"dim": 192, "n_layers": 2, "n_heads": 6, "n_kv_heads": 3, "vocab_size": 100, "multiple_of": 256, "norm_eps": 1e-5}""";
        Directory.CreateDirectory(_folder["source"]);
        File.WriteAllText(Path.Combine(_folder["source"], "params.json"), Parameters);
        var config = LlamaParameters.Parse(System.Text.Encoding.UTF8.GetBytes(Parameters), "params.json").ToConfig(100);
        Assert.Equal(512, config.HiddenDimension);
        var random = new Random(3);
        TinyCheckpoint.WriteShard(_folder["source"], 0, LlamaTensors.Of(config, EmbeddingLayout.Whole).Select(tensor => new ShardTensor(
            tensor.Name, TensorType.Float32, tensor.Shape, (_, bytes) =>
            {
                foreach (ref var value in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes))
                {
                    value = (random.NextSingle() - 0.5f) * 0.2f;
                }
            })));
        Convert(_folder["source"], "small", type);

        foreach (var worldSize in new[] { 1, 2, 3, 4, 6, 7, 8, 16 })
        {
            Assert.Equal(Logits(_folder["source"], worldSize, format), Logits(_folder["small"], worldSize, WeightFormat.Stored));
        }
    }

    /// <summary>Head widths, groups and hidden units that are no whole tiles or blocks; an embedding that is the output too; biases; head norms.</summary>
    [Theory]
    [InlineData("llama3")]
    [InlineData("mistral")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    public void Load_OddShapes_GivesTheBitsOfQuantisingOnLoad(string name)
    {
        var source = Path.Combine(References, name);
        Convert(source, "small", TensorType.Int4);

        foreach (var worldSize in new[] { 1, 2, 4, 8 })
        {
            Assert.Equal(Logits(source, worldSize, WeightFormat.Int4), Logits(_folder["small"], worldSize, WeightFormat.Stored));
        }
    }

    /// <summary>Groups of 43 hidden units: three ranks begin within blocks, which on load would be others.</summary>
    [SharedDataFact("stories260k")]
    public void Load_RanksThatCutThroughBlocks_AreWithinRounding()
    {
        var source = Path.Combine(Repository.SharedData, "stories260k", "mp4");
        Convert(source, "small", TensorType.Int8);
        var expected = Logits(_folder["small"], 1, WeightFormat.Stored);

        foreach (var worldSize in new[] { 3, 5, 6, 7, 16 })
        {
            var actual = Logits(_folder["small"], worldSize, WeightFormat.Stored);
            Assert.Equal(expected.Length, actual.Length);
            Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 0.05f * expected.Max(MathF.Abs)));
        }

        foreach (var worldSize in new[] { 1, 2, 4, 8 })
        {
            Assert.Equal(Logits(source, worldSize, WeightFormat.Int8), Logits(_folder["small"], worldSize, WeightFormat.Stored));
        }
    }

    [Fact]
    public void Load_Quantised_UsesItInPlace()
    {
        Convert(Repository.DemoCheckpoint, "small", TensorType.Int8);
        using var mapped = ModelWorld.Load(_folder["small"], ModelWorld.Options(), worldSize: 2);
        using var onLoad = ModelWorld.Load(Repository.DemoCheckpoint, ModelWorld.Options() with { WeightFormat = WeightFormat.Int8 }, worldSize: 2);

        Assert.Equal(onLoad.Model.MatrixByteCount, mapped.Model.MappedByteCount);
        Assert.Equal(onLoad.Model.MatrixByteCount, onLoad.Model.OwnedByteCount - mapped.Model.OwnedByteCount);
    }

    /// <summary>Files of an interrupted conversion are compared with what would be quantised now.</summary>
    [Fact]
    public void Convert_Interrupted_GoesOnFromTheFinishedFiles()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var options = new ConversionOptions { Layout = CheckpointLayout.HuggingFace, Quantization = TensorType.Int8, MaxFileByteCount = 300_000 };
        CheckpointConverter.Convert(checkpoint, _folder["whole"], options);
        var files = Directory.GetFiles(_folder["whole"], "*.safetensors").Order().ToArray();
        Directory.CreateDirectory(_folder["again.partial"]);
        foreach (var file in files.Take(3))
        {
            File.Copy(file, Path.Combine(_folder["again.partial"], Path.GetFileName(file)));
        }

        var wrong = Path.Combine(_folder["again.partial"], Path.GetFileName(files[1]));
        var bytes = File.ReadAllBytes(wrong);
        bytes[^1] ^= 1;
        File.WriteAllBytes(wrong, bytes);

        Assert.Equal(2, CheckpointConverter.Convert(checkpoint, _folder["again"], options));
        Assert.All(files, file => Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(_folder["again"], Path.GetFileName(file)))));
    }

    [Fact]
    public void Convert_QuantisedOrToMetasLayout_IsRefused()
    {
        Convert(Repository.DemoCheckpoint, "small", TensorType.Int4);
        using var quantized = CheckpointFolder.Open(_folder["small"], null);
        using var demo = CheckpointFolder.Open(Repository.DemoCheckpoint, null);

        var lossy = Assert.Throws<CheckpointException>(
            () => CheckpointConverter.Convert(quantized, _folder["wide"], new() { Layout = CheckpointLayout.HuggingFace, Type = TensorType.BFloat16 }));
        var meta = Assert.Throws<CheckpointException>(
            () => CheckpointConverter.Convert(demo, _folder["meta"], new() { Layout = CheckpointLayout.Meta, Quantization = TensorType.Int8 }));
        var other = Assert.Throws<CheckpointException>(() => Logits(_folder["small"], 1, WeightFormat.Int8));
        var torch = Assert.Throws<CheckpointException>(() => TorchSupport.Require(quantized));

        Assert.Contains("quantised to int4, which has lost what other forms need; convert the one that it was made from", lossy.Message, StringComparison.Ordinal);
        Assert.Contains("write the layout huggingface", meta.Message, StringComparison.Ordinal);
        Assert.Contains("is quantised to int4, which is laid out for --backend managed", torch.Message, StringComparison.Ordinal);
        Assert.Contains("is quantised to int4 and cannot be run in int8; leave --dtype out", other.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quant_method", "gptq", "is of the method gptq, which cannot be read")]
    [InlineData("version", 2, "has version 2; this program reads version 1")]
    [InlineData("format", "int2", "has format int2")]
    [InlineData("format", "int8", "but quantised as config.json says it is")]
    [InlineData("block_size", 64, "has another block_size than 32")]
    [InlineData("group_size", 128, "has the key 'group_size', which is not known here")]
    public void Open_ConfigThatSaysOtherwise_IsRefused(string key, object value, string sentence)
    {
        Convert(Repository.DemoCheckpoint, "small", TensorType.Int4);
        var path = Path.Combine(_folder["small"], "config.json");
        var config = JsonNode.Parse(File.ReadAllText(path))!;
        config["quantization_config"]![key] = JsonValue.Create(value);
        File.WriteAllText(path, config.ToJsonString());

        var error = Assert.Throws<CheckpointException>(() => CheckpointFolder.Open(_folder["small"], null));

        Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Whatever the bytes of the tiles are, they are numbers and nothing else.</summary>
    [Fact]
    public void Run_TilesOfAnyBytes_IsNumbersOrANamedError()
    {
        Convert(Repository.DemoCheckpoint, "small", TensorType.Int4);
        var path = Path.Combine(_folder["small"], "model.safetensors");
        var bytes = File.ReadAllBytes(path);
        new Random(5).NextBytes(bytes.AsSpan(bytes.Length / 2));
        File.WriteAllBytes(path, bytes);

        try
        {
            Assert.Equal(1024, Logits(_folder["small"], 3, WeightFormat.Stored).Length);
        }
        catch (NonFiniteLogitsException error)
        {
            Assert.Contains("layer", error.Message, StringComparison.Ordinal);
        }
    }

    private void Convert(string source, string name, TensorType type)
    {
        using var checkpoint = CheckpointFolder.Open(source, null);
        CheckpointConverter.Convert(checkpoint, _folder[name], new() { Layout = CheckpointLayout.HuggingFace, Quantization = type });
    }

    private static float[] Logits(string folder, int worldSize, WeightFormat format, ModelMesh? mesh = null)
    {
        using var world = ModelWorld.Load(folder, ModelWorld.Options() with { WeightFormat = format, Mesh = mesh }, worldSize: worldSize);
        var command = new StepCommand();
        for (var position = 0; position < 20; position++)
        {
            command.AddToken((position * 13) % 60, 0, position);
        }

        command.AddOutput(19, detail: LogitsDetail.FullRow);
        return world.Leader.Run(command)[0].Row.ToArray();
    }
}
