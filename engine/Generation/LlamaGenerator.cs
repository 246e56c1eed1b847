using System.Collections.Immutable;
using System.Diagnostics;
using Distributed.Engine.Model;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Generation on rank 0: text completion, chat completion and, below both, lists of tokens. What a row gets is Meta's reference's answer
/// (meta-llama/llama generation.py), without its known faults: prompt log probabilities are right for prompts of every length, a stop token
/// inside a prompt ends nothing, finished rows are not run on, and a row neither pays for nor depends on its neighbours.
/// </summary>
/// <remarks>One thread at a time, the one that owns the leader. A call that throws leaves the generator usable for the next.</remarks>
public sealed class LlamaGenerator
{
    private readonly LlamaModel _model;
    private readonly LeaderLoop _leader;
    private readonly Tokenizer _tokenizer;
    private readonly ImmutableArray<int> _eosTokenIds;
    private readonly SequenceStep _step;

    /// <param name="model">Rank 0's part of the model.</param>
    /// <param name="leader">The loop that was made for it.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="eosTokenIds">
    /// The tokens that end a row where a call names none, as the checkpoint says; empty for the tokenizer's EOS.
    /// </param>
    /// <param name="chatFormat">How the model reads dialogs; <see langword="null"/> for Llama 2's format.</param>
    public LlamaGenerator(
        LlamaModel model,
        LeaderLoop leader,
        Tokenizer tokenizer,
        ImmutableArray<int> eosTokenIds = default,
        ChatFormat? chatFormat = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        _model = model;
        _leader = leader;
        _tokenizer = tokenizer;
        ChatFormat = chatFormat ?? new Llama2ChatFormat();
        _eosTokenIds = !eosTokenIds.IsDefaultOrEmpty ? eosTokenIds : tokenizer.EosId >= 0 ? [tokenizer.EosId] : [];
        _step = new SequenceStep(leader);
        Limits = new GenerationLimits(model.Options.MaxSequenceLength, model.Options.MaxBatchSize, model.Config.VocabularySize);
    }

    /// <summary>What a call may ask for.</summary>
    public GenerationLimits Limits { get; }

    /// <summary>How dialogs are read.</summary>
    public ChatFormat ChatFormat { get; }

    /// <summary>The cost of all calls so far.</summary>
    public GenerationStatistics Statistics { get; private set; }

    /// <summary>Continues texts; an empty one begins with BOS alone.</summary>
    /// <inheritdoc cref="Generate"/>
    public GenerationResult[] CompleteText(
        IReadOnlyList<string> prompts,
        GenerationOptions options,
        Action<RowUpdate>? onUpdate = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        var tokens = prompts.Select(prompt => _tokenizer.Encode(prompt, bos: true, eos: false));
        return Generate([.. tokens], options, onUpdate, cancellationToken);
    }

    /// <summary>
    /// Answers dialogs in the model's format. One that contains the format's tags is not run; its answer is
    /// <see cref="ChatFormat.SpecialTagsError"/>.
    /// </summary>
    /// <inheritdoc cref="Generate"/>
    public GenerationResult[] CompleteChat(
        IReadOnlyList<IReadOnlyList<ChatMessage>> dialogs,
        GenerationOptions options,
        Action<RowUpdate>? onUpdate = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(dialogs);
        ArgumentNullException.ThrowIfNull(options);
        var prompts = dialogs.Select(
            dialog => ChatFormat.HasSpecialTags(dialog) ? null : ChatFormat.Encode(dialog, _tokenizer));
        return Run([.. prompts], options with { Echo = false, StopTokenIds = ChatStopTokenIds(options) }, onUpdate, cancellationToken);
    }

    /// <summary>Continues prompts of token ids, which include BOS where the model expects it.</summary>
    /// <param name="prompts">
    /// One a row, each of 1 to max_seq_len tokens; at most max_batch_size. Lengths may differ: all are run together.
    /// </param>
    /// <param name="options">How to generate.</param>
    /// <param name="onUpdate">Called on this thread with each piece of each row's text as it is generated.</param>
    /// <param name="cancellationToken">Looked at before each step.</param>
    /// <returns>One result a prompt, in order.</returns>
    /// <exception cref="GenerationException">
    /// The request is outside <see cref="Limits"/> or an option out of range; nothing was run.
    /// </exception>
    /// <exception cref="NonFiniteLogitsException">A rank computed NaN or infinity; the message names rank and layer.</exception>
    /// <exception cref="Collectives.CollectiveException">A peer was lost; the group is aborted.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public GenerationResult[] Generate(
        IReadOnlyList<IReadOnlyList<int>> prompts,
        GenerationOptions options,
        Action<RowUpdate>? onUpdate = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(options);
        return Run(prompts, options, onUpdate, cancellationToken);
    }

    private ImmutableArray<int> ChatStopTokenIds(GenerationOptions options)
        => options.StopTokenIds.IsDefault ? [.. _eosTokenIds.Union(ChatFormat.StopTokenIds(_tokenizer))] : options.StopTokenIds;

    // A prompt of null is a row that was refused: it is answered and not run.
    private GenerationResult[] Run(
        IReadOnlyList<IReadOnlyList<int>?> prompts,
        GenerationOptions options,
        Action<RowUpdate>? onUpdate,
        CancellationToken cancellationToken)
    {
        RequireRunnable(prompts, options);
        var stopTokenIds = options.StopTokenIds.IsDefault ? _eosTokenIds : options.StopTokenIds;
        var rows = new GenerationRow?[prompts.Count];
        for (var index = 0; index < prompts.Count; index++)
        {
            if (prompts[index] is { } prompt)
            {
                rows[index] = new GenerationRow(index, prompt, Limits.MaxSequenceLength, options, stopTokenIds.AsSpan(), _tokenizer, onUpdate);
            }
            else
            {
                onUpdate?.Invoke(new RowUpdate(index, TokenId: null, ChatFormat.SpecialTagsError, FinishReason.Stop));
            }
        }

        try
        {
            List<GenerationRow> running = [.. rows.OfType<GenerationRow>()];
            for (running.RemoveAll(row => row.IsFinished); running.Count > 0; running.RemoveAll(row => row.IsFinished))
            {
                cancellationToken.ThrowIfCancellationRequested();
                RunStep(running);
            }
        }
        finally
        {
            for (var slot = 0; slot < rows.Length; slot++)
            {
                _leader.Cache.Release(slot);
            }
        }

        return [.. rows.Select(row => row?.ToResult() ?? GenerationResult.Refused)];
    }

    // One pass over the model for every row at once: whatever each has pending, a prompt, the next chunk of one or the token drawn last.
    private void RunStep(List<GenerationRow> rows)
    {
        var started = Stopwatch.GetTimestamp();
        var inPrompt = false;
        _step.Clear();
        foreach (var row in rows)
        {
            var count = Math.Min(row.PendingCount, _model.Options.MaxTokensPerStep - _step.TokenCount);
            if (count > 0)
            {
                inPrompt |= row.IsInPrompt;
                _step.Add(row, count);
            }
        }

        _step.Run();
        var elapsed = Stopwatch.GetElapsedTime(started);
        Statistics = inPrompt ? Statistics.AfterPrefill(_step.TokenCount, elapsed) : Statistics.AfterDecode(_step.TokenCount, elapsed);
    }

    private void RequireRunnable(IReadOnlyList<IReadOnlyList<int>?> prompts, GenerationOptions options)
    {
        if (prompts.Count > Limits.MaxBatchSize)
        {
            throw new GenerationException(
                $"{prompts.Count} prompts were passed but max_batch_size is {Limits.MaxBatchSize}; pass fewer, or raise max_batch_size.");
        }

        var promptProblems = prompts.Index()
            .Where(prompt => prompt.Item is not null)
            .Select(prompt => Limits.Problem($"Prompt {prompt.Index + 1}", prompt.Item!)); // not null by the line above
        if (options.Problems().Concat(promptProblems).FirstOrDefault(problem => problem is not null) is { } first)
        {
            throw new GenerationException(first);
        }

        var positions = prompts.OfType<IReadOnlyList<int>>().Select(
            prompt => prompt.Count + Math.Min(options.MaxGenerationLength ?? int.MaxValue, Limits.MaxSequenceLength - prompt.Count));
        var cache = _leader.Cache;
        if (positions.Sum(KeyValueCache.BlocksFor) is var needed && needed > cache.TotalCount)
        {
            throw new GenerationException(
                $"The prompts and their answers may come to {needed} blocks of {KeyValueCache.BlockLength} positions but the key-value cache has "
                + $"{cache.TotalCount}; pass fewer, or make the cache larger.");
        }
    }
}
