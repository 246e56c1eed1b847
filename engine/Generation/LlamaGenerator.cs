using System.Collections.Immutable;
using System.Diagnostics;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
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
    private readonly TokenChoice _choice;
    private readonly StepCommand _command = new();

    // The step's outputs: the row's logits after the token at the position.
    private readonly List<(GenerationRow Row, int Position)> _outputs = [];

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
        _choice = new TokenChoice(leader);
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
        var running = new List<GenerationRow>(prompts.Count);
        for (var index = 0; index < prompts.Count; index++)
        {
            if (prompts[index] is { } prompt)
            {
                var row = new GenerationRow(index, prompt, Limits.MaxSequenceLength, options, _tokenizer, onUpdate);
                rows[index] = row;
                running.Add(row);
                row.Start();
            }
            else
            {
                onUpdate?.Invoke(new RowUpdate(index, TokenId: null, ChatFormat.SpecialTagsError, FinishReason.Stop));
            }
        }

        running.RemoveAll(row => row.IsFinished);
        while (running.Count > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RunStep(running, options, stopTokenIds.AsSpan());
            running.RemoveAll(row => row.IsFinished);
        }

        return [.. rows.Select(row => row?.ToResult() ?? GenerationResult.Refused)];
    }

    // One pass over the model for every row at once: whatever each has pending, a prompt, the next chunk of one or the token drawn last.
    private void RunStep(List<GenerationRow> rows, GenerationOptions options, ReadOnlySpan<int> stopTokenIds)
    {
        var started = Stopwatch.GetTimestamp();
        var inPrompt = Build(rows, options);
        var result = _leader.Run(_command);
        for (var output = 0; output < _outputs.Count; output++)
        {
            var (row, position) = _outputs[output];
            var logits = result[output];
            if (row.DrawsAfter(position))
            {
                var (tokenId, logit) = _choice.Choose(output, logits, options, options.FirstRow + row.Index, position + 1);
                row.Append(tokenId, LogProbability(logit, logits.LogSumExp), stopTokenIds);
            }
            else
            {
                row.Score(position + 1, LogProbability(logits.TargetLogit, logits.LogSumExp));
            }
        }

        foreach (var row in rows)
        {
            row.FinishIfComplete();
        }

        var elapsed = Stopwatch.GetElapsedTime(started);
        var tokenCount = _command.Tokens.Length;
        Statistics = inPrompt ? Statistics.AfterPrefill(tokenCount, elapsed) : Statistics.AfterDecode(tokenCount, elapsed);
    }

    // Fills _command and _outputs; true if a token of a prompt is among the step's.
    private bool Build(List<GenerationRow> rows, GenerationOptions options)
    {
        _command.Clear();
        _outputs.Clear();
        var room = _model.Options.MaxTokensPerStep;
        var inPrompt = false;
        foreach (var row in rows)
        {
            var count = Math.Min(row.PendingCount, room);
            for (var position = row.RunCount; position < row.RunCount + count; position++)
            {
                AddToken(row, position, options);
            }

            inPrompt |= count > 0 && row.IsInPrompt;
            row.Advance(count);
            room -= count;
        }

        return inPrompt;
    }

    private void AddToken(GenerationRow row, int position, GenerationOptions options)
    {
        var index = _command.Tokens.Length;
        _command.AddToken(row[position], row.Index, position);
        if (row.DrawsAfter(position))
        {
            var detail = TokenChoice.Detail(options);
            _command.AddOutput(index, temperature: detail == LogitsDetail.Best ? 0 : options.Temperature, detail: detail);
        }
        else if (row.ScoresAfter(position))
        {
            _command.AddOutput(index, targetTokenId: row[position + 1]);
        }
        else
        {
            return;
        }

        _outputs.Add((row, position));
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
    }

    // Rounding may leave the sum of all below its largest part; a probability above 1 would be a surprise.
    private static float LogProbability(float logit, float logSumExp) => MathF.Min(0, logit - logSumExp);
}
