using System.Diagnostics;

namespace Distributed.Fuzz;

/// <summary>
/// Offers inputs to a target, number by number: each is read right or refused with a named error, with at most 64 MiB and four times its
/// bytes allocated, and soon.
/// </summary>
internal sealed class FuzzRun(FuzzTarget target, string folder)
{
    private const int MaxFailures = 20;
    private const long AllowedByteCount = 64L << 20;

    // Inputs have some kilobytes and take microseconds.
    private static readonly TimeSpan AllowedTime = TimeSpan.FromSeconds(5);

    private readonly HashSet<string> _failures = new(StringComparer.Ordinal);

    /// <summary>Runs inputs <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> - 1.</summary>
    /// <returns>Whether all of them held.</returns>
    public bool Run(long first, long count)
    {
        var started = Stopwatch.GetTimestamp();
        var (read, refused, failed) = (0L, 0L, 0L);
        long mostAllocated = 0;
        for (var number = first; number < first + count && _failures.Count < MaxFailures; number++)
        {
            var bytes = Bytes(number);
            var path = Write(bytes);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var began = Stopwatch.GetTimestamp();
            string? failure = null;
            try
            {
                target.Read(path);
                read++;
            }
            catch (Exception exception)
            {
                refused++;
                failure = Judge(exception);
            }

            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            mostAllocated = Math.Max(mostAllocated, allocated);
            failure ??= allocated > AllowedByteCount + (4L * bytes.Length) ? $"allocated {allocated} bytes for an input of {bytes.Length}"
                : Stopwatch.GetElapsedTime(began) > AllowedTime && IsSlow(path) ? "takes longer than 5 s"
                : null;
            if (failure is not null)
            {
                failed++;
                Report(number, failure);
            }
        }

        Console.WriteLine(
            $"{target.Name}: inputs {first} to {first + count - 1}, {read} read, {refused} refused, {failed} failed, "
            + $"at most {mostAllocated / 1024} KiB allocated, {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s");
        return failed == 0;
    }

    /// <summary>The bytes of an input.</summary>
    public byte[] Bytes(long number) => target.Make(new Random((int)(number ^ (number >> 32) * 0x9E3779B1)));

    // A machine that does other things may stop a process for seconds, but not three times for the same input.
    private bool IsSlow(string path) => Enumerable.Range(0, 2).All(_ =>
    {
        var began = Stopwatch.GetTimestamp();
        try
        {
            target.Read(path);
        }
        catch (Exception exception) when (target.IsRefusal(exception))
        {
            // Known already.
        }

        return Stopwatch.GetElapsedTime(began) > AllowedTime;
    });

    private string? Judge(Exception exception)
    {
        if (!target.IsRefusal(exception))
        {
            return $"{exception.GetType().Name}: {exception.Message.ReplaceLineEndings(" ")} {Where(exception)}";
        }

        var message = exception.Message;
        return !message.EndsWith('.') ? $"a refusal that is no sentence: {message}"
            : message.Any(char.IsControl) ? "a refusal with control characters"
            : message.Length > 1500 + folder.Length ? $"a refusal of {message.Length} characters"
            : null;
    }

    private static string Where(Exception exception)
        => (exception.StackTrace ?? "").Split('\n').FirstOrDefault(line => line.Contains("Distributed.Engine", StringComparison.Ordinal))?.Trim() ?? "";

    // One report for each kind of failure, with the first number that shows it.
    private void Report(long number, string failure)
    {
        var kind = new string([.. failure.Where(character => !char.IsAsciiDigit(character))]);
        if (_failures.Add(kind))
        {
            Console.WriteLine($"{target.Name} {number}: {failure}");
        }
    }

    // Written over, not emptied first: some file systems flush a file that is emptied and rewritten.
    private string Write(byte[] bytes)
    {
        var path = Path.Combine(folder, target.FileName);
        using var file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.Write);
        RandomAccess.Write(file, bytes, 0);
        RandomAccess.SetLength(file, bytes.Length);
        return path;
    }
}
