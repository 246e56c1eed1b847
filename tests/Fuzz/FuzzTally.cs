using System.Globalization;
using System.Text;

namespace Distributed.Fuzz;

/// <summary>What was found of one target, by all threads together.</summary>
/// <param name="name">The target's.</param>
/// <param name="countsRefusals">Whether refusals are counted by their kind, which shows how deep inputs come.</param>
internal sealed class FuzzTally(string name, bool countsRefusals)
{
    private const int MaxFailures = 20;
    private const int MaxKindLength = 140;

    private readonly Lock _turn = new();
    private readonly HashSet<string> _failures = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _refusals = new(StringComparer.Ordinal);
    private long _read;
    private long _refused;
    private long _failed;
    private long _mostAllocated;
    private TimeSpan _time;

    /// <summary>Enough kinds of failures are known: the rest would not be read.</summary>
    public bool IsFull { get; private set; }

    /// <summary>Whether all inputs held.</summary>
    public bool Held => _failed == 0;

    /// <summary>Counts a stretch of inputs.</summary>
    public void Add(long read, long refused, long mostAllocated, TimeSpan time)
    {
        lock (_turn)
        {
            _read += read;
            _refused += refused;
            _mostAllocated = Math.Max(_mostAllocated, mostAllocated);
            _time += time;
        }
    }

    /// <summary>One report for each kind of failure, with a number that shows it.</summary>
    public void Report(long number, string failure)
    {
        lock (_turn)
        {
            _failed++;
            if (_failures.Add(new string([.. failure.Where(character => !char.IsAsciiDigit(character))])))
            {
                Console.WriteLine($"{name} {number}: {failure}");
                IsFull = _failures.Count >= MaxFailures;
            }
        }
    }

    /// <summary>Counts a refusal among those of its kind.</summary>
    public void Count(string message, string folder)
    {
        if (countsRefusals)
        {
            var kind = KindOf(message.Replace(folder, "", StringComparison.Ordinal));
            lock (_turn)
            {
                _refusals[kind] = _refusals.GetValueOrDefault(kind) + 1;
            }
        }
    }

    /// <summary>Prints the counts.</summary>
    public void Print(long first, long count)
    {
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: inputs {first} to {first + count - 1}, {_read} read, {_refused} refused, {_failed} failed, at most {_mostAllocated / 1024} KiB allocated, {_time.TotalSeconds:0.0} s"));
        foreach (var (kind, number) in _refusals.OrderByDescending(entry => entry.Value).ThenBy(entry => entry.Key, StringComparer.Ordinal))
        {
            Console.WriteLine($"{number,10} {kind}");
        }
    }

    // The sentence without what differs from file to file: names, which are in quotes, and numbers.
    private static string KindOf(string message)
    {
        var (from, to) = (message.IndexOf('\'', StringComparison.Ordinal), message.LastIndexOf('\''));
        var shown = from < to ? $"{message[..from]}'...{message[to..]}" : message;
        var kind = new StringBuilder();
        foreach (var character in shown)
        {
            var isNumber = char.IsAsciiDigit(character) || (kind.Length > 0 && kind[^1] == '#' && char.IsAsciiHexDigitUpper(character));
            if (!isNumber)
            {
                kind.Append(character);
            }
            else if (kind.Length == 0 || kind[^1] != '#')
            {
                kind.Append('#');
            }
        }

        return kind.ToString(0, Math.Min(kind.Length, MaxKindLength));
    }
}
