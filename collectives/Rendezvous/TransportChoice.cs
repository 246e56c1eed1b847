using Distributed.Collectives.Launching;

namespace Distributed.Collectives;

/// <summary>What may connect two ranks of one host. Ranks of different hosts always use gRPC over TLS.</summary>
public enum TransportChoice
{
    /// <summary>Shared memory where both ranks can map it, and gRPC over a Unix socket otherwise.</summary>
    Automatic,

    /// <summary>Shared memory; a pair that cannot have it does not join.</summary>
    SharedMemory,

    /// <summary>gRPC over a Unix socket.</summary>
    Grpc,
}

/// <summary>The names of the choices, on a command line (<c>--transport</c>) and in the environment (<c>DISTRUN_TRANSPORT</c>).</summary>
public static class TransportNames
{
    /// <summary>The variable that a launcher's user sets for all ranks.</summary>
    public const string Variable = "DISTRUN_TRANSPORT";

    /// <summary>The choice of a name; <see langword="null"/> if it is none of auto, shm, grpc.</summary>
    public static TransportChoice? Parse(string name) => name switch
    {
        "auto" => TransportChoice.Automatic,
        "shm" => TransportChoice.SharedMemory,
        "grpc" => TransportChoice.Grpc,
        _ => null,
    };

    /// <summary>What this process's environment says; <see cref="TransportChoice.Automatic"/> where it says nothing.</summary>
    /// <exception cref="RankEnvironmentException">The variable has another value.</exception>
    public static TransportChoice FromProcess()
    {
        var name = Environment.GetEnvironmentVariable(Variable);
        return string.IsNullOrEmpty(name)
            ? TransportChoice.Automatic
            : Parse(name) ?? throw new RankEnvironmentException($"{Variable}={AbortCause.Bound(name)} is not a transport; use auto, shm or grpc.");
    }
}
