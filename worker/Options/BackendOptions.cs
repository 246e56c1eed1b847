using Distributed.Collectives;
using Distributed.Engine.Model;

namespace Distributed.Worker.Options;

/// <summary>What <c>--backend</c> names.</summary>
internal enum BackendChoice
{
    Managed,
    Torch,
}

/// <summary>Reads which backend computes, and of the torch backend on what and with what.</summary>
internal static class BackendOptions
{
    /// <summary>The Torch backend's options, but for what only the rank knows; <see langword="null"/> for the managed backend.</summary>
    /// <param name="reader">What was given.</param>
    /// <param name="values">Likewise.</param>
    /// <param name="problems">A sentence is added for what does not go together, or is not part of this build.</param>
    public static TorchOptions? Read(OptionReader reader, OptionValues values, List<string> problems)
    {
        if (reader.Choice(OptionCatalog.Backend, BackendChoice.Managed) == BackendChoice.Managed)
        {
            if (values[OptionCatalog.Device] is { } given)
            {
                problems.Add($"{given.Source} {OptionReader.Shown(given.Last)} belongs to --{OptionCatalog.Backend} torch; add that, or leave it out.");
            }

            return null;
        }

        if (values[OptionCatalog.CacheDataType] is { } cache)
        {
            problems.Add($"{cache.Source} {OptionReader.Shown(cache.Last)} belongs to --{OptionCatalog.Backend} managed; the cache of torch follows --{OptionCatalog.MatmulPrecision}, so leave it out.");
        }

        if (TorchSupport.FindProblem() is { } problem)
        {
            problems.Add(problem);
        }

        var asked = values[OptionCatalog.Transport]?.Last ?? Environment.GetEnvironmentVariable(TransportNames.Variable);
        return new TorchOptions
        {
            Device = reader.Choice(OptionCatalog.Device, TorchDeviceKind.Cuda),
            DataType = reader.TorchDataType(OptionCatalog.DataType),
            Precision = reader.TorchPrecision(OptionCatalog.MatmulPrecision),
            Nccl = asked is "shm" or "grpc" ? NcclUse.Never : NcclUse.WherePossible,
        };
    }
}
