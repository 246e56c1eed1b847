using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Fuzz;

/// <summary>params.json and config.json: what is accepted is a shape that any number of ranks can divide.</summary>
internal sealed class ConfigTarget(string name, string fileName, string[] valid) : FuzzTarget
{
    public override string Name => name;

    public override string FileName => fileName;

    public override byte[] Make(Random random) => JsonMutator.Mutate(random, JsonNode.Parse(valid[random.Next(valid.Length)])!);

    public override bool IsRefusal(Exception exception) => exception is CheckpointException;

    public override void Read(byte[] input, string path)
    {
        var config = fileName == "params.json" ? OfParameters(LlamaParameters.Parse(input, path)) : HuggingFaceConfig.Parse(input, path).Config;
        Require(config.Dimension > 0 && config.LayerCount > 0 && config.HiddenDimension > 0 && config.VocabularySize > 0, "extents are at least 1");
        Require(config.HeadCount % config.KeyValueHeadCount == 0 && config.HeadDimension % 2 == 0, "heads divide");
        Require(
            float.IsFinite(config.RopeTheta) && float.IsFinite(config.RopeScalingFactor) && config.NormEpsilon > 0 && float.IsFinite(config.NormEpsilon),
            "numbers are finite");
        foreach (var worldSize in new[] { 1, 2, 3, 8 }.Where(size => size <= config.VocabularySize))
        {
            var plans = Enumerable.Range(0, worldSize).Select(rank => ShardPlan.Create(config, worldSize, rank)).ToArray();
            Require(plans.Sum(plan => (long)plan.Heads.Count) == config.HeadCount && plans.Sum(plan => (long)plan.Hidden.Count) == config.HiddenDimension, "ranks have all of it");
            Require(plans.Sum(plan => (long)plan.Vocabulary.Count) == config.VocabularySize, "ranks have all token ids");
        }
    }

    private static LlamaConfig OfParameters(LlamaParameters parameters) => parameters.ToConfig(parameters.VocabularySize ?? 100);
}
