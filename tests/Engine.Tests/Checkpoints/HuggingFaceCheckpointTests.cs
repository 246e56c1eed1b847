using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Folders of Hugging Face, from the tiny reference checkpoints with one thing changed at a time.</summary>
public sealed class HuggingFaceCheckpointTests : IDisposable
{
    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Open_EachFamily_GivesItsShape()
    {
        using var llama = HuggingFaceCheckpoint.Open(Path.Combine(References, "llama3"), 64);
        using var mistral = HuggingFaceCheckpoint.Open(Path.Combine(References, "mistral"), null);
        using var qwen2 = HuggingFaceCheckpoint.Open(Path.Combine(References, "qwen2"), 60);
        using var qwen3 = HuggingFaceCheckpoint.Open(Path.Combine(References, "qwen3"), null);

        Assert.Equal((8f, 256f, 500000f, 16), (llama.Config.RopeScalingFactor, llama.Config.RopeOldContextLength, llama.Config.RopeTheta, llama.Config.HeadDimension));
        Assert.Equal((5, 0, 12, 48), (mistral.Config.SlidingWindow, mistral.Config.FirstSlidingLayer, mistral.Config.HeadDimension, mistral.Config.QueryDimension));
        Assert.Equal((7, 1, true, false), (qwen2.Config.SlidingWindow, qwen2.Config.FirstSlidingLayer, qwen2.Config.HasQueryKeyValueBias, qwen2.Config.HasQueryKeyNorm));
        Assert.Equal((0, false, true), (qwen3.Config.SlidingWindow, qwen3.Config.HasQueryKeyValueBias, qwen3.Config.HasQueryKeyNorm));
        Assert.All([llama, mistral, qwen2, qwen3], checkpoint => Assert.True(checkpoint.Config.RotatesHalves));
        Assert.Equal([2, 3], llama.EosTokenIds.ToArray());
    }

    [Fact]
    public void Map_TwoFiles_FindsEveryTensorInItsFile()
    {
        using var checkpoint = CheckpointFolder.Open(Path.Combine(References, "llama2-linear"), 64);
        using var mapped = checkpoint.Map();

        Assert.Equal(RopeScalingKind.Linear, checkpoint.Config.RopeScaling);
        Assert.All(
            LlamaTensors.Of(checkpoint.Config, EmbeddingLayout.Whole),
            tensor => Assert.Equal(tensor.Shape.ToArray(), mapped[tensor.Name].Parts.Single().Shape.ToArray()));
        Assert.Equal(TensorType.Float16, mapped[LlamaTensors.Output].Type);
    }

    [Theory]
    [InlineData("architectures", """["GemmaForCausalLM"]""", "is of the architecture GemmaForCausalLM")]
    [InlineData("attention_bias", "true", "has attention_bias true, which cannot be run")]
    [InlineData("use_mrope", "true", "has use_mrope true, which cannot be run")] // Qwen2.5's and DeepSeek's distillates of it say false
    [InlineData("partial_rotary_factor", "0.5", "has partial_rotary_factor 0.5")]
    [InlineData("hidden_act", "\"gelu\"", "has hidden_act gelu")]
    [InlineData("quantization_config", """{"bits": 4}""", "quantization_config, is of the method without a name, which cannot be read")]
    [InlineData("final_logit_softcapping", "30", "has the key 'final_logit_softcapping'")]
    [InlineData("rope_scaling", """{"rope_type": "yarn", "factor": 4}""", "has rope_type yarn")]
    [InlineData("rope_scaling", """{"rope_type": "linear", "factor": 4, "mscale": 1}""", "has the key 'mscale'")]
    [InlineData("rope_scaling", """{"rope_type": "llama3", "factor": 4}""", "lacks the key low_freq_factor")]
    [InlineData("num_key_value_heads", "3", "the second must divide the first")]
    [InlineData("head_dim", "15", "a head must be a whole, even number")]
    [InlineData("hidden_size", "48", "as [64, 32], but the model of config.json has it as [64, 48]")]
    [InlineData("num_hidden_layers", "1", "has tensor 'model.layers.1.input_layernorm.weight', which the model of config.json does not have")]
    [InlineData("num_hidden_layers", "3", "lacks tensor 'model.layers.2.input_layernorm.weight'")]
    [InlineData("tie_word_embeddings", "false", "lacks tensor 'lm_head.weight'")]
    [InlineData("rms_norm_eps", null, "lacks the key rms_norm_eps")]
    public void Open_ConfigThatCannotBeRun_IsRefusedByName(string key, string? value, string sentence)
    {
        CopyReference("qwen3");
        Change("config.json", json => json[key] = value is null ? null : JsonNode.Parse(value));

        Refused(sentence);
    }

    /// <summary>What published configs say of things that a model does not have.</summary>
    [Fact]
    public void Open_SettingsThatAreOff_AreTaken()
    {
        CopyReference("qwen3");
        Change("config.json", json =>
        {
            foreach (var key in (string[])["attention_bias", "mlp_bias", "rope_interleaved", "use_mrope", "use_sliding_window"])
            {
                json[key] = false;
            }

            (json["rope_scaling"], json["sliding_window"], json["pretraining_tp"]) = (null, null, 1);
        });

        using var checkpoint = HuggingFaceCheckpoint.Open(_folder.Path, null);

        Assert.Equal(ModelFamily.Qwen3, checkpoint.Family);
    }

    /// <summary>Bytes that are no UTF-8, and half a surrogate pair: found by the fuzzer.</summary>
    [Theory]
    [InlineData("model_type", "\u00FF")]
    [InlineData("\u00FF", "x")]
    [InlineData("architectures", "\\ud800")]
    public void Open_ConfigWithAStringThatIsNoText_IsRefused(string key, string value)
    {
        CopyReference("qwen3");
        File.WriteAllBytes(_folder["config.json"], System.Text.Encoding.Latin1.GetBytes($"{{\"{key}\": \"{value}\"}}"));

        Refused("config.json is no valid JSON: a string in it is no Unicode text.");
    }

    [Theory]
    [InlineData("""{"rope_type": "dynamic", "factor": 4}""", 1f, 4096)]
    [InlineData("""{"rope_type": "default"}""", 1f, null)]
    [InlineData("""{"type": "linear", "factor": 2.5}""", 2.5f, null)]
    public void Open_RopeScaling_GivesFactorAndLimit(string scaling, float factor, int? limit)
    {
        CopyReference("llama3");
        Change("config.json", json => json["rope_scaling"] = JsonNode.Parse(scaling));

        using var checkpoint = HuggingFaceCheckpoint.Open(_folder.Path, null);

        Assert.Equal((factor, limit), (checkpoint.Config.RopeScalingFactor, checkpoint.Config.MaxSequenceLength));
    }

    [Fact]
    public void Open_RopeParameters_HaveThetaAndScaling()
    {
        CopyReference("llama3");
        Change("config.json", json =>
        {
            json.AsObject().Remove("rope_theta");
            json["rope_parameters"] = JsonNode.Parse("""{"rope_type": "linear", "factor": 2, "rope_theta": 7000}""");
            json["rope_scaling"] = null;
        });

        using var checkpoint = HuggingFaceCheckpoint.Open(_folder.Path, null);

        Assert.Equal((7000f, 2f), (checkpoint.Config.RopeTheta, checkpoint.Config.RopeScalingFactor));
    }

    [Theory]
    [InlineData("""["sliding_attention", "sliding_attention"]""", 5, 0)]
    [InlineData("""["full_attention", "sliding_attention"]""", 5, 1)]
    [InlineData("""["full_attention", "full_attention"]""", 0, 0)]
    public void Open_LayerTypes_SayWhichLayersHaveAWindow(string types, int window, int first)
    {
        CopyReference("qwen2");
        Change("config.json", json =>
        {
            json["layer_types"] = JsonNode.Parse(types);
            json["sliding_window"] = 5;
            json["use_sliding_window"] = window > 0;
        });

        using var checkpoint = HuggingFaceCheckpoint.Open(_folder.Path, null);

        Assert.Equal((window, first), (checkpoint.Config.SlidingWindow, checkpoint.Config.FirstSlidingLayer));
    }

    [Fact]
    public void Open_TokenizerWithMoreTokensThanTheModel_IsRefused()
    {
        var error = Assert.Throws<CheckpointException>(() => HuggingFaceCheckpoint.Open(Path.Combine(References, "llama3"), 65));

        Assert.Contains("The tokenizer has 65 tokens", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../../etc/passwd.safetensors", "which is no plain name")]
    [InlineData("/etc/passwd.safetensors", "which is no plain name")]
    [InlineData("model.bin", "which is no plain name")]
    [InlineData("missing.safetensors", "missing.safetensors is missing; download it")]
    [InlineData("model-00002-of-00002.safetensors", "does not list for this file")]
    public void Open_IndexThatLies_IsRefused(string file, string sentence)
    {
        CopyReference("llama2-linear");
        Change("model.safetensors.index.json", json => json["weight_map"]!["model.embed_tokens.weight"] = file);

        Refused(sentence);
    }

    [Fact]
    public void Open_IndexThatNamesATensorNoFileHas_IsRefused()
    {
        CopyReference("llama2-linear");
        Change("model.safetensors.index.json", json => json["weight_map"]!["extra.weight"] = "model-00001-of-00002.safetensors");

        Refused("lacks tensor 'extra.weight', which model.safetensors.index.json says it has");
    }

    [Fact]
    public void Open_SecondTensorOfOtherType_IsRefused()
    {
        CopyReference("llama3");
        var path = _folder["model.safetensors"];
        var bytes = File.ReadAllBytes(path);
        var header = bytes.AsSpan(8, BitConverter.ToInt32(bytes));
        " \"F16\""u8.CopyTo(header[header.LastIndexOf("\"BF16\""u8)..]); // as long as before
        File.WriteAllBytes(path, bytes);

        Refused("in float16 but 'model.embed_tokens.weight' is bfloat16; save all tensors in one type");
    }

    private void Refused(string sentence)
    {
        var error = Assert.Throws<CheckpointException>(() => CheckpointFolder.Open(_folder.Path, null));

        Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    private void CopyReference(string name)
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(References, name)))
        {
            File.Copy(file, _folder[Path.GetFileName(file)]);
        }
    }

    private void Change(string file, Action<JsonNode> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(_folder[file]))!;
        change(json);
        File.WriteAllText(_folder[file], json.ToJsonString());
    }
}
