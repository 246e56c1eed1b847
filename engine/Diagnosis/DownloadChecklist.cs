using System.Security.Cryptography;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// <c>checklist.chk</c>, which comes with Meta's files: a line for each, its md5 and its name, as md5sum writes them. It finds damage, not
/// malice: who can change a file can change the list.
/// </summary>
internal static class DownloadChecklist
{
    private const int MaxByteCount = 1 << 20;
    private const int BufferByteCount = 1 << 20;
    private const int DigestLength = 32;

    /// <summary>The files of a list and their md5, in lower case.</summary>
    /// <param name="path">The list.</param>
    /// <param name="findings">Told of lines that are none.</param>
    public static Dictionary<string, string> Read(string path, List<Finding> findings)
    {
        var digests = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            if (new FileInfo(path).Length > MaxByteCount)
            {
                findings.Add(Finding.Warning($"{path} has more than {MaxByteCount} bytes and was not read; download it again."));
                return digests;
            }

            foreach (var (number, line) in File.ReadLines(path).Index().Where(line => !string.IsNullOrWhiteSpace(line.Item)))
            {
                if (TryParse(line, out var name, out var digest))
                {
                    digests[name] = digest;
                }
                else
                {
                    findings.Add(Finding.Warning(
                        $"{path}, line {number + 1}, is not an md5 and a plain file name ({Printable.Of(line)}); download the list again."));
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            findings.Add(Finding.Warning($"{path} cannot be read: {error.Message}"));
        }

        return digests;
    }

    /// <summary>The md5 of a file, in lower case.</summary>
    /// <param name="path">The file.</param>
    /// <param name="progress">Told the bytes of each piece.</param>
    /// <param name="cancellationToken">Looked at between pieces of 1 MiB.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static string Md5Of(string path, Action<long> progress, CancellationToken cancellationToken)
    {
#pragma warning disable CA5351 // the list that Meta publishes has no other
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
#pragma warning restore CA5351
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
        var buffer = new byte[BufferByteCount];
        while (file.Read(buffer) is var count and > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, count);
            progress(count);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    // md5sum's form: the digest, two spaces or a space and '*' for binary, the name; "./" may stand before it.
    private static bool TryParse(string line, out string name, out string digest)
    {
        var trimmed = line.Trim();
        digest = trimmed.Length > DigestLength ? trimmed[..DigestLength].ToLowerInvariant() : "";
        name = trimmed.Length > DigestLength ? trimmed[DigestLength..].TrimStart(' ', '\t', '*') : "";
        name = name.StartsWith("./", StringComparison.Ordinal) ? name[2..] : name;
        return digest.Length == DigestLength
            && digest.All(char.IsAsciiHexDigitLower)
            && char.IsWhiteSpace(trimmed[DigestLength])
            && name.Length is > 0 and <= 255
            && name is not ("." or "..")
            && name.AsSpan().IndexOfAny("/\\:\0") < 0;
    }
}
