using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>model.safetensors.index.json: the files that are accepted are plain names of the folder.</summary>
internal sealed class IndexTarget : FuzzTarget
{
    private const string Valid = """
        {"metadata": {"total_size": 26953662464}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors",
         "model.embed_tokens.weight": "model-00001-of-00002.safetensors", "model.norm.weight": "model-00002-of-00002.safetensors"}}
        """;

    public override string Name => "index";

    public override string FileName => "model.safetensors.index.json";

    public override byte[] Make(Random random) => JsonMutator.Mutate(random, JsonNode.Parse(Valid)!);

    public override bool IsRefusal(Exception exception) => exception is CheckpointException;

    public override void Read(byte[] input, string path)
    {
        using var document = CheckpointJson.Parse(input, path);
        var map = HuggingFaceCheckpoint.ReadMap(document, path);
        Require(map.Count > 0 && map.Values.All(name => Path.GetFileName(name) == name && name.EndsWith(".safetensors", StringComparison.Ordinal)), "files are plain names");
    }
}
