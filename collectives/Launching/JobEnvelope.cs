using System.Buffers;
using System.Security.Cryptography;
using System.Text.Json;

namespace Distributed.Collectives.Launching;

/// <summary>
/// What the launcher tells a worker in private: one JSON line, the first thing on the worker's stdin, never in argv or the
/// environment, where other processes could read it.
/// </summary>
/// <param name="JobId">128 random bits in hex: names the job in sockets and handshakes.</param>
/// <param name="Secret">The key with which the ranks of the job prove themselves to each other and to the store.</param>
/// <param name="Epoch">The restart count; messages of another epoch are refused.</param>
/// <param name="Rank">The rank that this envelope is for.</param>
/// <param name="LauncherProcessId">The launcher's process id: a worker that finds another parent has lost it.</param>
public sealed record JobEnvelope(string JobId, JobSecret Secret, int Epoch, int Rank, int LauncherProcessId)
{
    /// <summary>Whether the launcher's own stdin, which reaches rank 0, is a terminal with somebody at it.</summary>
    public bool UserInputIsTerminal { get; init; }

    /// <summary>In the envelope of a later attempt, for a rank that outlives the one before (<see cref="LauncherLink.WaitForNextAttemptAsync"/>): where its store listens.</summary>
    public string? StoreAddress { get; init; }

    /// <summary>Likewise: where the rank writes why it failed.</summary>
    public string? ErrorFile { get; init; }

    // Read and written by hand: a serializer takes some 20 ms of compiling in every process of a job that starts.
    private const string JobIdKey = "job_id";
    private const string SecretKey = "secret";
    private const string EpochKey = "epoch";
    private const string RankKey = "rank";
    private const string LauncherProcessIdKey = "launcher_process_id";
    private const string UserInputIsTerminalKey = "user_input_is_terminal";
    private const string StoreAddressKey = "store_address";
    private const string ErrorFileKey = "error_file";

    /// <summary>A line longer than this is not an envelope.</summary>
    public const int MaxByteCount = 4096;

    /// <summary>The envelope as one line of JSON, with its line feed.</summary>
    public byte[] ToLine()
    {
        var line = new ArrayBufferWriter<byte>(MaxByteCount);
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString(JobIdKey, JobId);
            json.WriteString(SecretKey, Secret.ToBase64());
            json.WriteNumber(EpochKey, Epoch);
            json.WriteNumber(RankKey, Rank);
            json.WriteNumber(LauncherProcessIdKey, LauncherProcessId);
            json.WriteBoolean(UserInputIsTerminalKey, UserInputIsTerminal);
            if (StoreAddress is not null)
            {
                json.WriteString(StoreAddressKey, StoreAddress);
            }

            if (ErrorFile is not null)
            {
                json.WriteString(ErrorFileKey, ErrorFile);
            }

            json.WriteEndObject();
        }

        line.Write("\n"u8);
        return line.WrittenSpan.ToArray();
    }

    /// <summary>Reads what <see cref="ToLine"/> wrote.</summary>
    /// <exception cref="RankEnvironmentException">The line is no envelope.</exception>
    public static JobEnvelope Parse(ReadOnlySpan<byte> line)
    {
        try
        {
            var reader = new Utf8JsonReader(line);
            using var json = JsonDocument.ParseValue(ref reader);
            var wire = json.RootElement;
            var isAlone = !reader.Read(); // throws where something follows
            if (isAlone && wire.GetProperty(JobIdKey).GetString() is { Length: > 0 } jobId && wire.GetProperty(SecretKey).GetString() is { } secret)
            {
                return new JobEnvelope(
                    jobId,
                    JobSecret.FromBase64(secret),
                    wire.GetProperty(EpochKey).GetInt32(),
                    wire.GetProperty(RankKey).GetInt32(),
                    wire.GetProperty(LauncherProcessIdKey).GetInt32())
                {
                    UserInputIsTerminal = wire.GetProperty(UserInputIsTerminalKey).GetBoolean(),
                    StoreAddress = wire.TryGetProperty(StoreAddressKey, out var address) ? address.GetString() : null,
                    ErrorFile = wire.TryGetProperty(ErrorFileKey, out var file) ? file.GetString() : null,
                };
            }
        }
        catch (Exception exception) when (exception is JsonException or FormatException or InvalidOperationException or KeyNotFoundException)
        {
            // The sentence below says all that a user can act on.
        }

        throw new RankEnvironmentException("The line on stdin is not a job envelope although DISTRUN_ENVELOPE=1; start this program with distrun.");
    }
}

/// <summary>A job's 256-bit secret. It never prints.</summary>
public sealed class JobSecret
{
    private const int ByteCount = 32;
    private readonly byte[] _bytes;

    private JobSecret(byte[] bytes) => _bytes = bytes;

    /// <summary>A new secret.</summary>
    public static JobSecret Create() => new(RandomNumberGenerator.GetBytes(ByteCount));

    /// <summary>The secret that everyone who holds <paramref name="keyMaterial"/> derives for <paramref name="purpose"/> (HKDF, RFC 5869).</summary>
    /// <param name="keyMaterial">A secret of any length; as strong as it is hard to guess.</param>
    /// <param name="purpose">What the derived secret is for: another purpose gives an unrelated one.</param>
    public static JobSecret Derive(ReadOnlySpan<byte> keyMaterial, string purpose)
    {
        var bytes = new byte[ByteCount];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, keyMaterial, bytes, salt: [], info: System.Text.Encoding.UTF8.GetBytes(purpose));
        return new JobSecret(bytes);
    }

    /// <summary>HMAC-SHA256 under a key that is the secret's own for <paramref name="purpose"/> (HKDF, RFC 5869).</summary>
    /// <param name="purpose">What is proved and by whom, so that a proof fits one place only.</param>
    /// <param name="message">What the proof covers: the other side's nonce.</param>
    public byte[] Prove(string purpose, ReadOnlySpan<byte> message)
    {
        Span<byte> key = stackalloc byte[ByteCount];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, _bytes, key, salt: [], info: System.Text.Encoding.UTF8.GetBytes(purpose));
        return HMACSHA256.HashData(key, message);
    }

    /// <summary>Whether <paramref name="proof"/> is what <see cref="Prove"/> gives, compared in constant time.</summary>
    public bool Verify(string purpose, ReadOnlySpan<byte> message, ReadOnlySpan<byte> proof)
        => CryptographicOperations.FixedTimeEquals(Prove(purpose, message), proof);

    /// <inheritdoc/>
    public override string ToString() => "***";

    internal static JobSecret FromBase64(string text)
    {
        var bytes = Convert.FromBase64String(text);
        return bytes.Length == ByteCount ? new JobSecret(bytes) : throw new FormatException("A job secret has 32 bytes.");
    }

    internal string ToBase64() => Convert.ToBase64String(_bytes);
}
