using System.Text;

namespace Distributed.Engine.Constraints;

/// <summary>
/// The UTF-8 of a range of code points as sequences of byte ranges, none of them overlong (the construction of Russ Cox's RE2, re2/compile.cc).
/// </summary>
internal static class Utf8Ranges
{
    /// <summary>Each entry is one sequence: [byte of the character] of inclusive ranges.</summary>
    /// <param name="first">The first scalar value.</param>
    /// <param name="last">The last one; no surrogate lies between.</param>
    public static IEnumerable<(byte Low, byte High)[]> Of(int first, int last)
    {
        foreach (var limit in (ReadOnlySpan<int>)[0x7F, 0x7FF, 0xFFFF])
        {
            if (first <= limit && limit < last)
            {
                return Of(first, limit).Concat(Of(limit + 1, last));
            }
        }

        // Cut where the last bytes do not run through all of their values.
        for (var bits = 6; bits <= 18; bits += 6)
        {
            var mask = (1 << bits) - 1;
            if (last <= 0x7F || (first & ~mask) == (last & ~mask))
            {
                continue;
            }

            if ((first & mask) != 0)
            {
                return Of(first, first | mask).Concat(Of((first | mask) + 1, last));
            }

            if ((last & mask) != mask)
            {
                return Of(first, (last & ~mask) - 1).Concat(Of(last & ~mask, last));
            }
        }

        var (low, high) = (Encode(first), Encode(last));
        return [[.. low.Zip(high)]];
    }

    private static byte[] Encode(int scalar) => Encoding.UTF8.GetBytes(new Rune(scalar).ToString());
}
