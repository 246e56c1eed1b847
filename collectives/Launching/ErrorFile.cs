using System.Globalization;
using System.Text.Json;

namespace Distributed.Collectives.Launching;

/// <summary>What a failed rank left in its error file.</summary>
/// <param name="Message">Type and text of the failure.</param>
/// <param name="CallStack">The stack, of whatever language; <see langword="null"/> where the file has none.</param>
/// <param name="Time">When it failed, in whole seconds; <see langword="null"/> where the file has no time.</param>
/// <param name="VictimOfRank">The rank whose loss made this one fail; <see langword="null"/> where it blames none.</param>
public sealed record ErrorRecord(string Message, string? CallStack, DateTimeOffset? Time, int? VictimOfRank);

/// <summary>
/// The file through which a failing rank tells its launcher why: torch.distributed.elastic's <c>error.json</c>, at the path in
/// <c>TORCHELASTIC_ERROR_FILE</c>.
/// </summary>
/// <remarks>
/// The nested form <c>{"message":{"message":"Type: text","extraInfo":{"py_callstack":"…","timestamp":"seconds"}}}</c> is written, and
/// read as well as the flat form <c>{"message":"text","timestamp":seconds}</c>. Ours adds <c>victim_of_rank</c> to <c>extraInfo</c>,
/// which torch's readers pass over.
/// </remarks>
public static class ErrorFile
{
    /// <summary>A file longer than this is neither written nor read.</summary>
    public const int MaxByteCount = 64 * 1024;

    // JSON may spell one character with 6 bytes (\u0000); message and stack together stay below the limit even then.
    private const int MaxMessageLength = 1024;
    private const int MaxCallStackLength = 9000;

    /// <summary>Writes the file, whole or not at all, and says whether it could. A failure here never hides the one it describes.</summary>
    /// <param name="path">Where; <see langword="null"/> for nowhere.</param>
    /// <param name="exception">
    /// The failure. If it is, or comes from, a <see cref="CollectiveException"/> that names a peer, this rank is that peer's victim.
    /// </param>
    public static bool Write(string? path, Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        if (path is null)
        {
            return false;
        }

        try
        {
            // Under its final name the file is complete: a rank may be killed at any byte of it.
            var unfinished = path + ".tmp";
            File.WriteAllBytes(unfinished, Serialize(exception, DateTimeOffset.UtcNow));
            File.Move(unfinished, path, overwrite: true);
            return true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            return false;
        }
    }

    /// <summary>Reads what a rank, of whatever language, has written.</summary>
    /// <param name="path">The file.</param>
    /// <param name="problem">One clause that says why a file that exists was not understood; otherwise <see langword="null"/>.</param>
    /// <returns>The record; <see langword="null"/> where there is no file, or a <paramref name="problem"/> with it.</returns>
    public static ErrorRecord? TryRead(string path, out string? problem)
    {
        problem = null;
        try
        {
            // Neither a directory nor a pipe, which would be waited for: both have no length.
            if (new FileInfo(path) is not { Exists: true, Length: > 0 })
            {
                return null;
            }

            using var file = File.OpenHandle(path);
            var content = new byte[MaxByteCount + 1];
            var length = ReadFully(file, content);
            if (length > MaxByteCount)
            {
                problem = $"it is longer than {MaxByteCount / 1024} KiB";
                return null;
            }

            return Parse(content.AsMemory(0, length)) ?? Foreign(out problem);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The latter where a string of well-formed JSON is no well-formed text.
            problem = "it is not JSON";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problem = $"it cannot be read ({exception.Message})";
        }

        return null;

        static ErrorRecord? Foreign(out string? problem)
        {
            problem = "it has no \"message\" of torchrun's form";
            return null;
        }
    }

    /// <summary>The content of the file.</summary>
    internal static byte[] Serialize(Exception exception, DateTimeOffset now)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteStartObject("message");
            json.WriteString("message", Cut($"{exception.GetType().Name}: {exception.Message}", MaxMessageLength));
            json.WriteStartObject("extraInfo");
            json.WriteString("py_callstack", Cut(exception.ToString(), MaxCallStackLength));
            json.WriteString("timestamp", now.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture));
            if (BlamedRank(exception) is { } rank)
            {
                json.WriteNumber("victim_of_rank", rank);
            }

            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return bytes.ToArray();
    }

    private static int? BlamedRank(Exception exception)
    {
        for (Exception? cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is CollectiveException { PeerRank: { } rank })
            {
                return rank;
            }
        }

        return null;
    }

    private static string Cut(string text, int length)
    {
        if (text.Length <= length)
        {
            return text;
        }

        var end = char.IsHighSurrogate(text[length - 1]) ? length - 1 : length;
        return string.Concat(text.AsSpan(0, end), " …");
    }

    /// <summary>What such content says; <see langword="null"/> where it is of another form.</summary>
    /// <exception cref="JsonException">It is not JSON.</exception>
    internal static ErrorRecord? Parse(ReadOnlyMemory<byte> content)
    {
        using var document = JsonDocument.Parse(content);
        var root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("message", out var message))
        {
            return null;
        }

        if (message.ValueKind == JsonValueKind.String)
        {
            return new ErrorRecord(message.GetString()!, null, Time(root), null);
        }

        if (message.ValueKind != JsonValueKind.Object || Text(message, "message") is not { } text)
        {
            return null;
        }

        return message.TryGetProperty("extraInfo", out var extra) && extra.ValueKind == JsonValueKind.Object
            ? new ErrorRecord(text, Text(extra, "py_callstack"), Time(extra), Rank(extra))
            : new ErrorRecord(text, null, null, null);
    }

    private static string? Text(JsonElement parent, string name)
        => parent.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static int? Rank(JsonElement extra)
        => extra.TryGetProperty("victim_of_rank", out var value) && value.ValueKind == JsonValueKind.Number
            && value.TryGetInt32(out var rank) && rank >= 0 ? rank : null;

    // torch writes whole seconds as a string, other tools as a number.
    private static DateTimeOffset? Time(JsonElement parent)
    {
        if (!parent.TryGetProperty("timestamp", out var value))
        {
            return null;
        }

        var text = value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds)
            && seconds is >= 0 and < 253_402_300_800 // the year 10000
            ? DateTimeOffset.FromUnixTimeSeconds((long)seconds)
            : null;
    }

    private static int ReadFully(Microsoft.Win32.SafeHandles.SafeFileHandle file, byte[] buffer)
    {
        var length = 0;
        while (length < buffer.Length && RandomAccess.Read(file, buffer.AsSpan(length), length) is > 0 and var count)
        {
            length += count;
        }

        return length;
    }
}
