using System.Collections.Frozen;
using System.Globalization;
using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Unicode's normalization form C (UAX #15): characters decomposed, marks in canonical order, then composed. Our own, as programs that run
/// without ICU have none: in their invariant mode string.Normalize gives back what it got.
/// </summary>
internal static class FormC
{
    // Hangul syllables are arithmetic (The Unicode Standard, section 3.12).
    private const int SyllableStart = 0xAC00;
    private const int LeadStart = 0x1100;
    private const int VowelStart = 0x1161;
    private const int TrailStart = 0x11A7;
    private const int LeadCount = 19;
    private const int VowelCount = 21;
    private const int TrailCount = 28;
    private const int SyllableCount = LeadCount * VowelCount * TrailCount;

    // No character below decomposes or composes with what stands before it.
    private const char FirstAffected = '\u0300';

    private static readonly Lazy<Tables> Data = new(Tables.Read);

    /// <summary>The text in form C; lone surrogates become U+FFFD where anything is to be done at all.</summary>
    public static string Normalize(string text)
    {
        // Latin-1 characters are composed, and nothing but a mark behind them could change that.
        if (text.AsSpan().IndexOfAnyInRange(FirstAffected, char.MaxValue) < 0)
        {
            return text;
        }

        var characters = new List<(int Code, int Class)>(text.Length + 16);
        foreach (var rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, characters);
        }

        Order(characters);
        Compose(characters);
        var result = new StringBuilder(text.Length);
        foreach (var (code, _) in characters)
        {
            result.Append(new Rune(code).ToString());
        }

        return result.ToString();
    }

    private static void Decompose(int code, List<(int Code, int Class)> characters)
    {
        if (code - SyllableStart is >= 0 and < SyllableCount and var index)
        {
            characters.Add((LeadStart + (index / (VowelCount * TrailCount)), 0));
            characters.Add((VowelStart + (index % (VowelCount * TrailCount) / TrailCount), 0));
            if (index % TrailCount > 0)
            {
                characters.Add((TrailStart + (index % TrailCount), 0));
            }
        }
        else if (Data.Value.Decompositions.TryGetValue(code, out var parts))
        {
            Decompose(parts.First, characters); // at most four deep, as Unicode has it
            if (parts.Second != 0)
            {
                Decompose(parts.Second, characters);
            }
        }
        else
        {
            characters.Add((code, Data.Value.Classes.GetValueOrDefault(code)));
        }
    }

    // Marks behind a character by ascending class; equal ones keep their order.
    private static void Order(List<(int Code, int Class)> characters)
    {
        for (var start = 0; start < characters.Count; start++)
        {
            var end = start;
            while (end < characters.Count && characters[end].Class != 0)
            {
                end++;
            }

            if (end - start > 1)
            {
                var sorted = characters.GetRange(start, end - start).OrderBy(character => character.Class).ToArray();
                for (var i = 0; i < sorted.Length; i++)
                {
                    characters[start + i] = sorted[i];
                }
            }

            start = end;
        }
    }

    // Each character joins the last starter before it unless one of the same or a higher class stands between.
    private static void Compose(List<(int Code, int Class)> characters)
    {
        var starter = -1;
        var count = 0;
        for (var i = 0; i < characters.Count; i++)
        {
            var (code, combining) = characters[i];
            var isAdjacent = starter >= 0 && count == starter + 1;
            var isBlocked = !isAdjacent && starter >= 0 && (characters[count - 1].Class >= combining || combining == 0);
            if (starter >= 0 && !isBlocked && TryCompose(characters[starter].Code, code, out var composed))
            {
                characters[starter] = (composed, 0);
                continue;
            }

            if (combining == 0)
            {
                starter = count;
            }

            characters[count++] = (code, combining);
        }

        characters.RemoveRange(count, characters.Count - count);
    }

    private static bool TryCompose(int first, int second, out int composed)
    {
        if (first - LeadStart is >= 0 and < LeadCount and var lead && second - VowelStart is >= 0 and < VowelCount and var vowel)
        {
            composed = SyllableStart + (((lead * VowelCount) + vowel) * TrailCount);
            return true;
        }

        if (first - SyllableStart is >= 0 and < SyllableCount and var syllable
            && syllable % TrailCount == 0
            && second - TrailStart is > 0 and < TrailCount and var trail)
        {
            composed = SyllableStart + syllable + trail;
            return true;
        }

        return Data.Value.Compositions.TryGetValue((first, second), out composed);
    }

    /// <summary>What CanonicalForms.txt says; make_canonical_forms.py describes its lines.</summary>
    private sealed record Tables(
        FrozenDictionary<int, (int First, int Second)> Decompositions,
        FrozenDictionary<(int First, int Second), int> Compositions,
        FrozenDictionary<int, int> Classes)
    {
        public static Tables Read()
        {
            var decompositions = new Dictionary<int, (int First, int Second)>();
            var compositions = new Dictionary<(int First, int Second), int>();
            var classes = new Dictionary<int, int>();
            using var stream = typeof(FormC).Assembly.GetManifestResourceStream(typeof(FormC), "CanonicalForms.txt")!; // embedded by the project
            using var reader = new StreamReader(stream);
            for (_ = reader.ReadLine(); reader.ReadLine() is { } line;)
            {
                var fields = line.Split(' ');
                if (fields[0].Split('-') is [var first, var last])
                {
                    for (var code = Hexadecimal(first); code <= Hexadecimal(last); code++)
                    {
                        classes.Add(code, int.Parse(fields[1], CultureInfo.InvariantCulture));
                    }

                    continue;
                }

                var parts = (Hexadecimal(fields[1]), fields.Length > 2 ? Hexadecimal(fields[2]) : 0);
                decompositions.Add(Hexadecimal(fields[0]), parts);
                if (fields[^1] == "*")
                {
                    compositions.Add(parts, Hexadecimal(fields[0]));
                }
            }

            return new Tables(decompositions.ToFrozenDictionary(), compositions.ToFrozenDictionary(), classes.ToFrozenDictionary());
        }

        private static int Hexadecimal(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
