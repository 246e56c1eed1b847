using System.Text;
using System.Text.Json;

namespace Distributed.Worker.Prompts;

/// <summary>Text that users hand over in files, on standard input and in JSON.</summary>
internal static class UserText
{
    /// <summary>No input may be longer; a longer one is a mistake.</summary>
    public const int MaxByteCount = 64 << 20;

    /// <summary>
    /// Reads a file of at most <see cref="MaxByteCount"/>; <see langword="null"/> with a sentence in <paramref name="problems"/> where that
    /// fails.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="option">How the sentence names the option that names the file.</param>
    /// <param name="problems">Takes the sentence.</param>
    public static string? ReadFile(string path, string option, List<string> problems)
    {
        try
        {
            using var stream = OpenFile(path);
            return ReadToEnd(stream, path, problems);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problems.Add($"--{option} {path} cannot be read: {exception.Message}");
            return null;
        }
    }

    /// <summary>Opens a regular file: it is read once before any rank is started and once by rank 0, which a pipe would not bear.</summary>
    /// <exception cref="IOException">It is none, or cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static FileStream OpenFile(string path)
    {
        if (Directory.Exists(path))
        {
            throw new IOException("it is a folder; name a file in it.");
        }

        // /dev/fd/63, which is what a shell makes of <(command), would be a descriptor of this process and any file of its own.
        if (!Path.GetFullPath(path).StartsWith("/dev/", StringComparison.Ordinal))
        {
            var stream = File.OpenRead(path);
            if (stream.CanSeek)
            {
                return stream;
            }

            stream.Dispose();
        }

        throw new IOException("it is no regular file and has to be read more than once; write it to a file first.");
    }

    /// <summary>Reads a stream of at most <see cref="MaxByteCount"/> as UTF-8.</summary>
    /// <inheritdoc cref="ReadFile"/>
    public static string? ReadToEnd(Stream stream, string name, List<string> problems)
    {
        using var bytes = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (stream.Read(buffer) is > 0 and var count)
        {
            if (bytes.Length + count > MaxByteCount)
            {
                problems.Add($"{name} has more than {MaxByteCount >> 20} MiB; split it.");
                return null;
            }

            bytes.Write(buffer, 0, count);
        }

        bytes.Position = 0;
        using var reader = new StreamReader(bytes, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>The text of a JSON string; <see langword="null"/> where it is none or holds half a surrogate pair.</summary>
    public static string? FromJson(JsonElement element)
    {
        try
        {
            return element.ValueKind == JsonValueKind.String ? element.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
