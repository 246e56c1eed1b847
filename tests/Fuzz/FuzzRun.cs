using System.Diagnostics;

namespace Distributed.Fuzz;

/// <summary>
/// Offers inputs to a target, number by number, on one thread: each is read right or refused with a named error, with at most 64 MiB and four times its
/// bytes allocated, and soon.
/// </summary>
/// <param name="target">Of this thread alone.</param>
/// <param name="folder">Where its files are written; of this thread and target alone.</param>
/// <param name="tally">What the threads find together.</param>
internal sealed class FuzzRun(FuzzTarget target, string folder, FuzzTally tally)
{
    private const long AllowedByteCount = 64L << 20;

    // Inputs have some kilobytes and take microseconds.
    private static readonly TimeSpan AllowedTime = TimeSpan.FromSeconds(5);

    /// <summary>Runs inputs <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> - 1.</summary>
    public void Run(long first, long count)
    {
        var started = Stopwatch.GetTimestamp();
        var (read, refused) = (0L, 0L);
        long mostAllocated = 0;
        for (var number = first; number < first + count && !tally.IsFull; number++)
        {
            var bytes = Bytes(target, number);
            var path = Path.Combine(folder, target.FileName);
            if (target.NeedsFile(bytes))
            {
                Write(path, bytes);
            }

            var before = GC.GetAllocatedBytesForCurrentThread();
            var began = Stopwatch.GetTimestamp();
            string? failure = null;
            try
            {
                target.Read(bytes, path);
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
                : Stopwatch.GetElapsedTime(began) > AllowedTime && IsSlow(bytes, path) ? "takes longer than 5 s"
                : null;
            if (failure is not null)
            {
                tally.Report(number, failure);
            }
        }

        tally.Add(read, refused, mostAllocated, Stopwatch.GetElapsedTime(started));
    }

    /// <summary>The bytes of an input.</summary>
    public static byte[] Bytes(FuzzTarget target, long number) => target.Make(new Random((int)(number ^ (number >> 32) * 0x9E3779B1)));

    // A machine that does other things may stop a process for seconds, but not three times for the same input.
    private bool IsSlow(byte[] input, string path) => Enumerable.Range(0, 2).All(_ =>
    {
        var began = Stopwatch.GetTimestamp();
        try
        {
            target.Read(input, path);
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
        tally.Count(message, folder);
        return !message.EndsWith('.') ? $"a refusal that is no sentence: {message}"
            : message.Any(char.IsControl) ? "a refusal with control characters"
            : message.Length > 1500 + folder.Length ? $"a refusal of {message.Length} characters"
            : null;
    }

    private static string Where(Exception exception)
        => (exception.StackTrace ?? "").Split('\n').FirstOrDefault(line => line.Contains("Distributed.Engine", StringComparison.Ordinal))?.Trim() ?? "";

    // Written over, not emptied first: some file systems flush a file that is emptied and rewritten.
    private static void Write(string path, byte[] bytes)
    {
        using var file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.Write);
        RandomAccess.Write(file, bytes, 0);
        RandomAccess.SetLength(file, bytes.Length);
    }
}
