using System.Runtime.InteropServices;

namespace Distributed.Engine.Nccl;

/// <summary>How near a rank is to NCCL.</summary>
internal enum NcclReadiness
{
    /// <summary>It computes on no GPU.</summary>
    NoDevice,

    /// <summary>Its user wants none.</summary>
    NotWanted,

    /// <summary>Its TorchSharp gives no pointers to tensors.</summary>
    NoPointers,

    /// <summary>The library is not installed.</summary>
    NoLibrary,

    /// <summary>It has all that it needs.</summary>
    Ready,
}

/// <summary>What a rank tells the others before they decide; 16 bytes, as they lie in memory.</summary>
/// <param name="Readiness">How near it is.</param>
/// <param name="Device">The same number for ranks on the same GPU, another for others.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct NcclPeer(NcclReadiness Readiness, ulong Device)
{
    /// <summary>What the ranks' answers come to: <see langword="null"/> where NCCL can be used, otherwise why not.</summary>
    /// <param name="peers">[rank]</param>
    /// <returns>The end of a sentence; empty where there is nothing to say, as nobody has a GPU or nobody wants NCCL.</returns>
    public static string? FindObstacle(ReadOnlySpan<NcclPeer> peers)
    {
        var devices = new Dictionary<ulong, int>();
        var (withDevice, without) = (0, -1);
        for (var rank = 0; rank < peers.Length; rank++)
        {
            (withDevice, without) = peers[rank].Readiness == NcclReadiness.NoDevice ? (withDevice, rank) : (withDevice + 1, without);
        }

        if (withDevice == 0)
        {
            return "";
        }

        if (without >= 0)
        {
            return $"rank {without} computes on no GPU";
        }

        for (var rank = 0; rank < peers.Length; rank++)
        {
            switch (peers[rank].Readiness)
            {
                case NcclReadiness.NotWanted:
                    return "";
                case NcclReadiness.NoPointers:
                    return $"rank {rank} was built with a TorchSharp before 0.107, which gives no pointers to tensors";
                case NcclReadiness.NoLibrary:
                    return $"rank {rank} cannot load {NcclLibrary.FileName}";
            }

            if (!devices.TryAdd(peers[rank].Device, rank))
            {
                return $"ranks {devices[peers[rank].Device]} and {rank} share a GPU";
            }
        }

        return null;
    }
}
