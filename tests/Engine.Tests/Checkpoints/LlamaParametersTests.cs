using System.Text;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class LlamaParametersTests
{
    /// <summary>The published models, whose hidden dimension params.json gives by a rule only.</summary>
    [Theory]
    [InlineData(4096, null, 256, 11008)]     // 7B
    [InlineData(5120, null, 256, 13824)]     // 13B
    [InlineData(6656, null, 256, 17920)]     // 33B
    [InlineData(8192, null, 256, 22016)]     // 65B
    [InlineData(8192, 1.3, 4096, 28672)]     // Llama 2 and 3 70B
    [InlineData(4096, 1.3, 1024, 14336)]     // Llama 3 8B
    [InlineData(16384, 1.2, 4096, 53248)]    // 405B
    [InlineData(2048, 1.5, 256, 8192)]       // 3.2 1B
    [InlineData(3072, 1.0, 256, 8192)]       // 3.2 3B
    [InlineData(64, null, 4, 172)]           // stories260k
    [InlineData(128, 1.0, 32, 352)]          // the demo
    [InlineData(100, 1.1, 1, 292)]           // two truncations: 266.67 -> 266, 292.6 -> 292
    public void HiddenDimensionOf_PublishedModels_GivesTheirs(int dimension, double? multiplier, int multipleOf, long expected)
        => Assert.Equal(expected, LlamaParameters.HiddenDimensionOf(dimension, multiplier, multipleOf));

    [Fact]
    public void Parse_Llama2_70B_GivesItsShape()
    {
        var parameters = Parse("""
            {"dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3, "n_heads": 64, "n_kv_heads": 8,
             "n_layers": 80, "norm_eps": 1e-05, "vocab_size": -1}
            """);

        Assert.Null(parameters.VocabularySize);
        Assert.Equal(
            new LlamaConfig
            {
                Dimension = 8192,
                LayerCount = 80,
                HeadCount = 64,
                KeyValueHeadCount = 8,
                HiddenDimension = 28672,
                VocabularySize = 32000,
                NormEpsilon = 1e-5f,
            },
            parameters.ToConfig(32000));
    }

    [Fact]
    public void Parse_AbsentOrNullKeys_HaveTheReferencesDefaults()
    {
        var parameters = Parse("""
            {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": null, "ffn_dim_multiplier": null,
             "lora_args": null, "max_seq_len": 2048, "max_batch_size": 32}
            """);

        Assert.Equal(4, parameters.KeyValueHeadCount);
        Assert.Null(parameters.VocabularySize);
        Assert.Equal(256, parameters.HiddenDimension);    // multiple_of 256
        Assert.Equal(1e-5f, parameters.NormEpsilon);
        Assert.Equal(10000f, parameters.RopeTheta);
        Assert.False(parameters.UseScaledRope);
    }

    [Fact]
    public void Parse_NestedModel_IsReadLikeThePlainForm()
    {
        var nested = Parse("{\"model\": " + TinyCheckpoint.Parameters + ", \"optimizer\": {\"lr\": 1}}");

        Assert.Equal(Parse(TinyCheckpoint.Parameters), nested);
    }

    [Fact]
    public void Parse_ByteOrderMark_IsPassedOver()
        => Assert.Equal(Parse(TinyCheckpoint.Parameters), Parse("\uFEFF" + TinyCheckpoint.Parameters));

    [Theory]
    [InlineData(4096, 32, 128256, "\"use_scaled_rope\": true", 8f)]     // 3.1 8B
    [InlineData(2048, 32, 128256, "\"use_scaled_rope\": true", 32f)]    // 3.2 1B
    [InlineData(3072, 24, 128256, "\"use_scaled_rope\": true", 32f)]    // 3.2 3B
    [InlineData(2048, 32, 32000, "\"use_scaled_rope\": true", 8f)]
    [InlineData(2048, 32, 128256, "\"use_scaled_rope\": true, \"rope_scaling_factor\": 16", 16f)]
    [InlineData(4096, 32, 128256, "\"use_scaled_rope\": false", 1f)]
    [InlineData(4096, 32, 128256, "\"rope_theta\": 500000.0", 1f)]
    public void ToConfig_ScaledRope_HasTheFactorOfTheModel(int dimension, int heads, int vocabularySize, string rope, float expected)
        => Assert.Equal(expected, Parse($$"""{"dim": {{dimension}}, "n_layers": 1, "n_heads": {{heads}}, {{rope}}}""")
            .ToConfig(vocabularySize).RopeScalingFactor);

    [Theory]
    [InlineData("", "is no valid JSON")]
    [InlineData("{", "is no valid JSON")]
    [InlineData("[]", "is no JSON object")]
    [InlineData("7", "is no JSON object")]
    [InlineData("{\"model\": 7}", "is no JSON object")]
    [InlineData("{}", "lacks the key dim")]
    [InlineData("{\"dim\": 8, \"n_heads\": 2}", "lacks the key n_layers")]
    [InlineData("{\"dim\": 8, \"n_layers\": 2}", "lacks the key n_heads")]
    [InlineData("{\"dim\": 8, \"dim\": 16, \"n_layers\": 1, \"n_heads\": 2}", "is no valid JSON")]
    [InlineData("{\"dim\": 0, \"n_layers\": 1, \"n_heads\": 2}", "dim 0")]
    [InlineData("{\"dim\": -8, \"n_layers\": 1, \"n_heads\": 2}", "dim -8")]
    [InlineData("{\"dim\": 8.5, \"n_layers\": 1, \"n_heads\": 2}", "dim 8.5")]
    [InlineData("{\"dim\": \"8\", \"n_layers\": 1, \"n_heads\": 2}", "dim \"8\"")]
    [InlineData("{\"dim\": 99999999999999999999, \"n_layers\": 1, \"n_heads\": 2}", "dim 99999999999999999999")]
    [InlineData("{\"dim\": 131080, \"n_layers\": 1, \"n_heads\": 2}", "dim 131080")]
    [InlineData("{\"dim\": 8, \"n_layers\": 0, \"n_heads\": 2}", "n_layers 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 3}", "n_heads 3")]
    [InlineData("{\"dim\": 6, \"n_layers\": 1, \"n_heads\": 2}", "even number")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"n_kv_heads\": 3}", "n_kv_heads 3")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"n_kv_heads\": 8}", "n_kv_heads 8")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"n_kv_heads\": 0}", "n_kv_heads 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"vocab_size\": 0}", "vocab_size 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"vocab_size\": -2}", "vocab_size -2")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"multiple_of\": 0}", "multiple_of 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"ffn_dim_multiplier\": 0}", "ffn_dim_multiplier 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"ffn_dim_multiplier\": 1e300}", "ffn_dim_multiplier 1e300")]
    [InlineData("{\"dim\": 131072, \"n_layers\": 1, \"n_heads\": 4, \"ffn_dim_multiplier\": 64}", "hidden dimension")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"norm_eps\": 0}", "norm_eps 0")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"norm_eps\": 2}", "norm_eps 2")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"rope_theta\": 1e999}", "rope_theta 1e999")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"rope_theta\": -1}", "rope_theta -1")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"use_scaled_rope\": 1}", "use_scaled_rope 1")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"rope_scaling_factor\": 8}", "without use_scaled_rope")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"quantization_args\": {\"scheme\": \"int4\"}}", "'quantization_args'")]
    [InlineData("{\"dim\": 8, \"n_layers\": 1, \"n_heads\": 4, \"sliding_window\": 4096}", "'sliding_window'")]
    public void Parse_BadParameters_SaysWhatIsWrong(string json, string expected)
    {
        var error = Assert.Throws<CheckpointException>(() => Parse(json));

        Assert.StartsWith("params.json ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_DeepNesting_IsRefusedWithoutRecursion()
        => Assert.Throws<CheckpointException>(() => Parse(new string('[', 100_000)));

    [Fact]
    public void Read_MissingOrHugeFile_IsNamed()
    {
        using var folder = new TemporaryFolder();
        var path = folder["params.json"];
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => LlamaParameters.Read(path)).Message,
            StringComparison.Ordinal);

        File.WriteAllBytes(path, new byte[(1 << 20) + 1]);
        Assert.Contains("1048577 bytes", Assert.Throws<CheckpointException>(() => LlamaParameters.Read(path)).Message,
            StringComparison.Ordinal);
    }

    private static LlamaParameters Parse(string json) => LlamaParameters.Parse(Encoding.UTF8.GetBytes(json), "params.json");
}
