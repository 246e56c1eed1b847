using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Distributed.Engine.Constraints;
using Distributed.Engine.Generation;
using Distributed.Engine.Tokenizers;
using Distributed.Worker.Options;
using Distributed.Worker.Running;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Answers;

/// <summary>What is served, as far as requests are concerned: known before the weights are loaded.</summary>
internal sealed record ServedModel
{
    /// <summary>How clients call it.</summary>
    public required string Name { get; init; }

    public required Tokenizer Tokenizer { get; init; }

    public required ChatFormat ChatFormat { get; init; }

    /// <summary>Whether its tokenizer brings a chat template that is known: it was taught to chat.</summary>
    public required bool HasChatTemplate { get; init; }

    /// <summary>Holds answers to JSON; made when the first request asks for it.</summary>
    public required Lazy<ConstraintCompiler> Constraints { get; init; }

    public required GenerationLimits Limits { get; init; }

    /// <summary>The tokens that end a text.</summary>
    public required ImmutableArray<int> EosTokenIds { get; init; }

    /// <summary>The tokens that end an answer to a dialog.</summary>
    public required ImmutableArray<int> ChatStopTokenIds { get; init; }

    /// <summary>What a request gets that does not say.</summary>
    public required GenerationDefaults Defaults { get; init; }

    /// <summary>Of the weights' description and the program.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>Seconds since 1970 at the start.</summary>
    public required long Created { get; init; }

    /// <summary>Describes what was prepared.</summary>
    public static ServedModel Of(Preparation preparation, RunOptions options, string? name, GenerationDefaults defaults)
    {
        var tokenizer = preparation.Tokenizer;
        ImmutableArray<int> eos = !options.Generation.StopTokenIds.IsDefault ? options.Generation.StopTokenIds
            : !preparation.Checkpoint.EosTokenIds.IsDefaultOrEmpty ? preparation.Checkpoint.EosTokenIds
            : tokenizer.EosId >= 0 ? [tokenizer.EosId] : [];
        return new ServedModel
        {
            Name = name ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.CheckpointDirectory!))), // prepared, so it was named
            Tokenizer = tokenizer,
            ChatFormat = preparation.ChatFormat,
            HasChatTemplate = preparation.ChatTemplate?.IsKnown ?? false,
            Constraints = new Lazy<ConstraintCompiler>(() => new ConstraintCompiler(tokenizer)),
            Limits = preparation.Limits,
            EosTokenIds = eos,
            ChatStopTokenIds = options.Generation.StopTokenIds.IsDefault ? [.. eos.Union(preparation.ChatFormat.StopTokenIds(tokenizer))] : eos,
            Defaults = defaults,
            Fingerprint = FingerprintOf(preparation, options),
            Created = DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
        };
    }

    /// <summary>Fails where a request names another model.</summary>
    public void RequireName(string? name)
    {
        if (name is not null && name != Name)
        {
            throw new ApiException(
                HttpStatusCode.NotFound,
                "invalid_request_error",
                $"The model '{OptionReader.Shown(name)}' does not exist; this server has {Name} (GET /v1/models).",
                "model",
                "model_not_found");
        }
    }

    private static string FingerprintOf(Preparation preparation, RunOptions options)
    {
        var version = Assembly.GetExecutingAssembly().GetName().Version;
        var text = string.Create(CultureInfo.InvariantCulture, $"{preparation.Checkpoint.Config} {options.WeightFormat} {version}");
        return $"fp_{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)).AsSpan(0, 5))}";
    }
}

/// <summary>What a request gets that does not say; OpenAI's defaults but for what the server's options name.</summary>
/// <param name="Temperature">1 unless said otherwise.</param>
/// <param name="TopP">1 unless said otherwise.</param>
/// <param name="Seed"><see langword="null"/> for another one each time.</param>
/// <param name="MaxTokens"><see langword="null"/> for as many as fit, in text completions 16.</param>
internal sealed record GenerationDefaults(float Temperature, float TopP, long? Seed, int? MaxTokens);
