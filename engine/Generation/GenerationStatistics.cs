namespace Distributed.Engine.Generation;

/// <summary>What generation has cost so far.</summary>
public readonly record struct GenerationStatistics
{
    /// <summary>Steps that carried tokens of a prompt.</summary>
    public long PrefillStepCount { get; init; }

    /// <summary>Tokens run in those steps.</summary>
    public long PrefillTokenCount { get; init; }

    /// <summary>Time of those steps.</summary>
    public TimeSpan PrefillTime { get; init; }

    /// <summary>Steps that carried generated tokens only.</summary>
    public long DecodeStepCount { get; init; }

    /// <summary>Tokens run in those steps.</summary>
    public long DecodeTokenCount { get; init; }

    /// <summary>Time of those steps.</summary>
    public TimeSpan DecodeTime { get; init; }

    /// <summary>Prompt tokens a second; 0 before the first.</summary>
    public double PrefillTokensPerSecond => PerSecond(PrefillTokenCount, PrefillTime);

    /// <summary>Generated tokens a second, all rows together; 0 before the first.</summary>
    public double DecodeTokensPerSecond => PerSecond(DecodeTokenCount, DecodeTime);

    internal GenerationStatistics AfterPrefill(int tokenCount, TimeSpan elapsed) => this with
    {
        PrefillStepCount = PrefillStepCount + 1,
        PrefillTokenCount = PrefillTokenCount + tokenCount,
        PrefillTime = PrefillTime + elapsed,
    };

    internal GenerationStatistics AfterDecode(int tokenCount, TimeSpan elapsed) => this with
    {
        DecodeStepCount = DecodeStepCount + 1,
        DecodeTokenCount = DecodeTokenCount + tokenCount,
        DecodeTime = DecodeTime + elapsed,
    };

    private static double PerSecond(long count, TimeSpan time) => time > TimeSpan.Zero ? count / time.TotalSeconds : 0;
}
