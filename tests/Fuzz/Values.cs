using System.Buffers.Binary;

namespace Distributed.Fuzz;

/// <summary>Numbers and texts at which readers go wrong, and damage to bytes.</summary>
internal static class Values
{
    private static readonly long[] Edges =
    [
        0, 1, 2, 3, 7, 8, 63, 64, 255, 256, 65535, 65536, 1 << 20, int.MaxValue - 1, int.MaxValue, 1L << 31, 1L << 32, (1L << 53) + 1, long.MaxValue / 8,
        long.MaxValue / 2, long.MaxValue - 1, long.MaxValue, -1, -2, -8, int.MinValue, long.MinValue, long.MinValue + 1,
    ];

    private static readonly string[] Texts =
    [
        "", " ", "\0", "../../etc/passwd", "/dev/zero", "C:\\a", "a/b", "a\nb", "\u001b[2J", "\u202e", "\ufffd", "\u65e5\u672c", "e\u0301", "\U0001f600",
        "__metadata__", "__class__", "weight", "data.pkl", "0", "-1", "NaN", "null", "\u2581", "\u2581a", "<s>", "<0x41>", "(a+)+$", "%s%n",
        "\ud800", "os", "system", "F8_E4M3", "BF16", "LlamaForCausalLM",
    ];

    public static long Number(Random random) => random.Next(4) switch
    {
        0 => random.Next(-3, 40),
        1 => random.NextInt64(long.MinValue, long.MaxValue),
        2 => Edges[random.Next(Edges.Length)] + random.Next(-1, 2) is var near && near > long.MinValue + 2 ? near : 0,
        _ => Edges[random.Next(Edges.Length)],
    };

    public static string Text(Random random) => random.Next(6) switch
    {
        0 => new string((char)random.Next(32, 127), random.Next(1, 400)),
        1 => string.Concat(Enumerable.Range(0, random.Next(1, 12)).Select(_ => (char)random.Next(1, 0x3000))),
        _ => Texts[random.Next(Texts.Length)],
    };

    /// <summary>Some bytes turned, overwritten by numbers, cut out, doubled, put in or cut off.</summary>
    public static byte[] Damage(Random random, byte[] bytes)
    {
        for (var count = random.Next(1, 5); count > 0 && bytes.Length > 16; count--)
        {
            var at = random.Next(bytes.Length - 8);
            var length = Math.Min(random.Next(1, 40), bytes.Length - at);
            switch (random.Next(7))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2: BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at), Number(random)); break;
                case 3: BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), unchecked((uint)Number(random))); break;
                case 4: bytes = [.. bytes[..at], .. bytes[(at + length)..]]; break;
                case 5: bytes = [.. bytes[..(at + length)], .. bytes[at..]]; break;
                default: bytes = bytes[..random.Next(bytes.Length)]; break;
            }
        }

        return bytes;
    }
}
