namespace Distributed.Engine.Kernels.Emission;

/// <summary>Whether this process may run machine code of its own.</summary>
internal static class EmittedCode
{
    /// <summary>The environment variable that forbids it where it is 0.</summary>
    public const string Variable = "DISTRUN_EMITTED_CODE";

    /// <summary>The end of a sentence: the system gives no memory for it.</summary>
    public const string NoMemory = "the system gives no executable memory";

    private const byte Return = 0xC3;
    private static readonly Lazy<bool> HasMemory = new(() => ExecutableMemory.Place([Return]) != 0);

    /// <summary>Why no code is emitted, the end of a sentence; <see langword="null"/> where it is.</summary>
    /// <param name="isInProcessor">Whether the processor has the instructions, and .NET keeps their registers.</param>
    /// <param name="instructions">Their name.</param>
    public static string? Problem(bool isInProcessor, string instructions)
        => Environment.GetEnvironmentVariable(Variable) == "0" ? $"{Variable} is 0"
            : !isInProcessor ? $"the processor has no {instructions}"
            : HasMemory.Value ? null : NoMemory;
}
