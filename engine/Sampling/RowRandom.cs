namespace Distributed.Engine.Sampling;

/// <summary>
/// The random numbers of one row: a function of (seed, row, position) and of nothing else, so that a row draws the same alone, in
/// any batch and after a restart.
/// </summary>
/// <param name="seed">The user's <c>--seed</c>; every value is a seed of its own.</param>
/// <param name="row">Number of the row in the whole request, not its place in a batch.</param>
internal readonly struct RowRandom(long seed, long row)
{
    // 50 bits and a half: never 0, and far enough from 1 that u x mass rounds below mass.
    private const int UnusedBitCount = 14;
    private const double Unit = 1.0 / (1L << (64 - UnusedBitCount));

    /// <summary>The number with which the token at <paramref name="position"/> is drawn, uniform in (0, 1).</summary>
    public double At(int position)
    {
        unchecked
        {
            var (low, high, _, _) = Philox.Block(
                ((uint)position, 0, (uint)row, (uint)(row >> 32)), ((uint)seed, (uint)(seed >> 32)));
            return (((((ulong)high << 32) | low) >> UnusedBitCount) + 0.5) * Unit;
        }
    }
}
