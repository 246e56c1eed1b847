using System.Globalization;
using System.Runtime.InteropServices;
using Distributed.Engine.Model;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>libtorch's errors in the user's words.</summary>
internal static class TorchErrors
{
    /// <summary>Whether a device had not enough memory.</summary>
    public static bool IsOutOfMemory(Exception exception)
        => exception is ExternalException && exception.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase);

    /// <summary>One sentence with the numbers.</summary>
    public static string OutOfMemory(RankShard shard, TorchDevice device)
    {
        var (config, plan) = (shard.Config, shard.Plan);
        long size = device.WeightType == ScalarType.Float32 ? 4 : 2;
        long cacheSize = device.CacheType == ScalarType.Float32 ? 4 : 2;
        var layer = (long)config.Dimension * ((((2 * plan.Heads.Count) + (2 * plan.KeyValueHeads.Count)) * config.HeadDimension) + (3 * plan.Hidden.Count));
        var output = plan.IsLastStage ? (long)config.Dimension * plan.Vocabulary.Count : 0;
        var cache = 2L * plan.Layers.Count * shard.Options.CacheBlockCount * KeyValueCache.BlockLength * plan.KeyValueHeads.Count * config.HeadDimension;
        var has = CudaDriver.MemoryOfCurrent() is { } memory ? $", and the device has {GiB(memory.Total)}" : "";
        return $"{device.Description}: rank {shard.Collectives.Rank} needs {GiB(((plan.Layers.Count * layer) + output) * size)} for its weights and " +
            $"{GiB(cache * cacheSize)} for its cache{has}; start more ranks on more GPUs, or lower --max-batch-size or --max-seq-len.";
    }

    private static string GiB(long byteCount) => string.Create(CultureInfo.InvariantCulture, $"{byteCount / 1073741824.0:0.0} GiB");
}
