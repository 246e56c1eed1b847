using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Worker.Options;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Serving;

/// <summary>What <c>serve</c> takes beside the options of all commands.</summary>
internal sealed record ServeOptions
{
    private const int MaxKeyByteCount = 1 << 20;

    /// <summary>Where the server listens.</summary>
    public required IPAddress Address { get; init; }

    /// <summary>0 for one that the system chooses.</summary>
    public required int Port { get; init; }

    /// <summary>Where it listens for gRPC without TLS, 0 for a port that the system chooses; <see langword="null"/> for nowhere.</summary>
    public required int? GrpcPort { get; init; }

    /// <summary>Names under which it answers besides those of this machine's loopback.</summary>
    public required IReadOnlyList<string> AllowedHosts { get; init; }

    public required ApiKeys Keys { get; init; }

    /// <summary>The certificate of https; <see langword="null"/> for http.</summary>
    public required X509Certificate2? Certificate { get; init; }

    /// <summary>How clients call the model; <see langword="null"/> for its folder's name.</summary>
    public required string? ModelName { get; init; }

    public required GenerationDefaults Defaults { get; init; }

    /// <summary>Requests that may wait.</summary>
    public required int MaxQueue { get; init; }

    /// <summary>Tokens of the prompts and answers that may wait.</summary>
    public required int MaxQueuedTokens { get; init; }

    /// <summary>Requests of one key that may be under way; <see langword="null"/> where that has not been said.</summary>
    public required int? MaxRequestsPerKey { get; init; }

    /// <summary>Bytes of a request's body.</summary>
    public required long MaxBodyByteCount { get; init; }

    /// <summary>How long answers that have begun may take once the server was told to end.</summary>
    public required TimeSpan DrainTimeout { get; init; }

    /// <summary>How long a stream is silent before a comment is sent.</summary>
    public required TimeSpan PingInterval { get; init; }

    /// <summary>How long an answer may take, waiting included.</summary>
    public required TimeSpan RequestTimeout { get; init; }

    private bool IsOpenToOthers => !IPAddress.IsLoopback(Address);

    /// <summary>Reads and checks them.</summary>
    public static ServeOptions Read(OptionValues values, List<string> problems)
    {
        var reader = new OptionReader(values, problems);
        var options = new ServeOptions
        {
            Address = ReadAddress(reader, problems),
            Port = reader.Integer(OptionCatalog.Port, 8080, 0, 65535),
            GrpcPort = values.Has(OptionCatalog.GrpcPort) ? reader.Integer(OptionCatalog.GrpcPort, 0, 0, 65535) : null,
            AllowedHosts = [.. values[OptionCatalog.AllowedHosts]?.Values.SelectMany(text => text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)) ?? []],
            Keys = ReadKeys(values, problems),
            Certificate = ReadCertificate(reader, problems),
            ModelName = reader.Text(OptionCatalog.ServedModelName),
            Defaults = new GenerationDefaults(
                reader.Number(OptionCatalog.Temperature, 1),
                reader.Number(OptionCatalog.TopP, 1),
                values.Has(OptionCatalog.Seed) ? reader.Seed(OptionCatalog.Seed, 0) : null,
                reader.IntegerOrNone(OptionCatalog.MaxGenerationLength, null, 1, int.MaxValue)),
            MaxQueue = reader.Integer(OptionCatalog.MaxQueue, 256, 0, 1 << 16),
            MaxQueuedTokens = reader.Integer(OptionCatalog.MaxQueuedTokens, 1 << 20, 0, int.MaxValue),
            MaxRequestsPerKey = values.Has(OptionCatalog.MaxRequestsPerKey) ? reader.Integer(OptionCatalog.MaxRequestsPerKey, 1, 1, 1 << 16) : null,
            MaxBodyByteCount = (long)reader.Integer(OptionCatalog.MaxBodySize, 2, 1, 16) << 20,
            DrainTimeout = TimeSpan.FromSeconds(reader.Integer(OptionCatalog.DrainTimeout, 25, 0, 3600)),
            RequestTimeout = TimeSpan.FromSeconds(reader.Integer(OptionCatalog.RequestTimeout, 600, 1, 86400)),
            PingInterval = TimeSpan.FromSeconds(reader.Integer(OptionCatalog.SsePingInterval, 5, 1, 3600)),
        };
        _ = ReadCollector(values, problems); // every rank reads it for itself
        options.RequireSafe(reader.Flag(OptionCatalog.AllowPlaintextOnNetwork), problems);
        return options;
    }

    /// <summary>Where each rank sends its measurements; <see langword="null"/> for nowhere.</summary>
    public static Uri? ReadCollector(OptionValues values, List<string> problems)
    {
        if (values[OptionCatalog.OtlpEndpoint]?.Last is not { } text)
        {
            return null;
        }

        if (Uri.TryCreate(text, UriKind.Absolute, out var collector) && collector!.Scheme is "http" or "https")
        {
            return collector;
        }

        problems.Add($"--{OptionCatalog.OtlpEndpoint} {OptionReader.Shown(text)} is not the address of a collector; write one such as http://127.0.0.1:4318.");
        return null;
    }

    private static IPAddress ReadAddress(OptionReader reader, List<string> problems)
    {
        var text = reader.Text(OptionCatalog.Host) ?? "127.0.0.1";
        if (text == "localhost")
        {
            return IPAddress.Loopback;
        }

        if (IPAddress.TryParse(text, out var address))
        {
            return address;
        }

        problems.Add($"--{OptionCatalog.Host} {OptionReader.Shown(text)} is not an address of this machine; write localhost, an IP address of one of its networks, or 0.0.0.0 for all.");
        return IPAddress.Loopback;
    }

    private static ApiKeys ReadKeys(OptionValues values, List<string> problems)
    {
        var keys = new List<string>(values[OptionCatalog.ApiKey]?.Values ?? []);
        if (values[OptionCatalog.ApiKeyFile] is { } file)
        {
            keys.AddRange(ReadKeyFile(file.Last, problems));
        }

        if (keys.Exists(key => key.Length == 0 || key.Any(character => char.IsWhiteSpace(character) || char.IsControl(character))))
        {
            problems.Add("An API key is empty or has spaces; a key is one word.");
        }

        return ApiKeys.Of(keys);
    }

    private static string[] ReadKeyFile(string path, List<string> problems)
    {
        try
        {
            if (new FileInfo(path).Length > MaxKeyByteCount)
            {
                problems.Add($"--{OptionCatalog.ApiKeyFile} {path} has more than {MaxKeyByteCount >> 20} MiB; it holds a key a line.");
                return [];
            }

            string[] keys = [.. File.ReadLines(path).Select(line => line.Trim()).Where(line => line.Length > 0)];
            if (keys.Length == 0)
            {
                problems.Add($"--{OptionCatalog.ApiKeyFile} {path} has no key; write one a line.");
            }

            return keys;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problems.Add($"--{OptionCatalog.ApiKeyFile} {path} cannot be read: {exception.Message}");
            return [];
        }
    }

    private static X509Certificate2? ReadCertificate(OptionReader reader, List<string> problems)
    {
        var (certificate, key) = (reader.Text(OptionCatalog.TlsCertificate), reader.Text(OptionCatalog.TlsKey));
        if (certificate is null || key is null)
        {
            if (certificate is not null || key is not null)
            {
                problems.Add($"--{OptionCatalog.TlsCertificate} and --{OptionCatalog.TlsKey} belong together; name both PEM files.");
            }

            return null;
        }

        try
        {
            using var pem = X509Certificate2.CreateFromPemFile(certificate, key);
            return X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), password: null); // Windows uses no key that lies nowhere
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            problems.Add($"--{OptionCatalog.TlsCertificate} {certificate} with --{OptionCatalog.TlsKey} {key} cannot be used: {exception.Message}");
            return null;
        }
    }

    private void RequireSafe(bool allowsPlaintext, List<string> problems)
    {
        if (IsOpenToOthers && Keys.Count == 0)
        {
            problems.Add($"--{OptionCatalog.Host} {Address} lets other machines in, and there is no key; name one with --{OptionCatalog.ApiKeyFile} or --{OptionCatalog.ApiKey}, or listen at 127.0.0.1.");
        }

        if (IsOpenToOthers && Certificate is null && !allowsPlaintext)
        {
            problems.Add(
                $"--{OptionCatalog.Host} {Address} lets other machines in, and keys and texts would go through the network unencrypted; "
                + $"name --{OptionCatalog.TlsCertificate} and --{OptionCatalog.TlsKey}, or say --{OptionCatalog.AllowPlaintextOnNetwork} where something before it encrypts.");
        }
    }
}
