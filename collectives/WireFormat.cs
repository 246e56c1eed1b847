namespace Distributed.Collectives;

/// <summary>How sums of float32 travel between hosts. Inside a host nothing is narrowed.</summary>
public enum WireFormat
{
    /// <summary>As they are: the canonical bits, the same for every number of hosts.</summary>
    Exact,

    /// <summary>Half the bytes: each host's sum is rounded to bfloat16, an error of at most 2^-8 of it.</summary>
    BFloat16,

    /// <summary>
    /// A quarter of the bytes: blocks of 64 values share a scale, and each value has 8 bits, an error of at most 1/254 of the greatest in its block.
    /// </summary>
    Int8,
}

/// <summary>The names of the formats, on a command line (<c>--wire</c>) and in the environment (<c>DISTRUN_WIRE</c>).</summary>
public static class WireNames
{
    /// <summary>The variable that a launcher's user sets for all ranks.</summary>
    public const string Variable = "DISTRUN_WIRE";

    /// <summary>The format of a name; <see langword="null"/> if it is none of exact, bf16, int8.</summary>
    public static WireFormat? Parse(string name) => name switch
    {
        "exact" => WireFormat.Exact,
        "bf16" => WireFormat.BFloat16,
        "int8" => WireFormat.Int8,
        _ => null,
    };

    /// <summary>The name of a format.</summary>
    public static string NameOf(WireFormat format) => format switch
    {
        WireFormat.BFloat16 => "bf16",
        WireFormat.Int8 => "int8",
        _ => "exact",
    };

    /// <summary>What this process's environment says; <see cref="WireFormat.Exact"/> where it says nothing.</summary>
    /// <exception cref="Launching.RankEnvironmentException">The variable has another value.</exception>
    public static WireFormat FromProcess()
    {
        var name = Environment.GetEnvironmentVariable(Variable);
        return string.IsNullOrEmpty(name)
            ? WireFormat.Exact
            : Parse(name) ?? throw new Launching.RankEnvironmentException($"{Variable}={AbortCause.Bound(name)} is not a format of the wire; use exact, bf16 or int8.");
    }
}
