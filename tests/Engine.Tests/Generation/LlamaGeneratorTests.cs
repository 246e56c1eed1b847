using Distributed.Engine.Generation;

namespace Distributed.Engine.Tests.Generation;

/// <summary>inference.md lines 12 to 44: the reference's generate and text_completion. Each test names its lines.</summary>
public sealed class LlamaGeneratorTests : IDisposable
{
    private const int Newline = 13;

    private static readonly GenerationOptions Greedy = new() { Temperature = 0, MaxGenerationLength = 24 };
    private static readonly GenerationOptions Scored = Greedy with { LogProbabilities = true, Echo = true };
    private static readonly GenerationOptions Sampled = Greedy with { Temperature = 1.1f, TopP = 0.95f, LogProbabilities = true };
    private static readonly string[] Ragged =
    [
        "Once upon a time",
        "Q: How many days are in a week?\nA: There are seven days in a week.\nQ: What do bees make?\nA:",
        "The",
        "[INST] Tell me a story about a bear named Leo. [/INST]",
    ];

    private readonly Lazy<TestLlama> _llama = new(() => TestLlama.Demo());

    private TestLlama Llama => _llama.Value;

    private LlamaGenerator Generator => Llama.Generator;

    public void Dispose()
    {
        if (_llama.IsValueCreated)
        {
            _llama.Value.Dispose();
        }
    }

    [Fact]
    public void Generate_MoreRowsThanMaxBatchSize_IsRefusedWithBothNumbers()
    {
        // Line 12.
        var exception = Assert.Throws<GenerationException>(() => Generator.CompleteText(["a", "b", "c", "d", "e"], Greedy));

        Assert.StartsWith("5 prompts were passed but max_batch_size is 4;", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Generate_PromptLongerThanMaxSeqLen_IsRefusedAndOneOfThatLengthIsNot()
    {
        // Lines 13 and 14.
        using var llama = TestLlama.Demo(maxSequenceLength: 16);
        int[] fitting = [1, .. Enumerable.Repeat(403, 15)];

        var exception = Assert.Throws<GenerationException>(() => llama.Generator.Generate([[1], [.. fitting, 403]], Greedy));
        var result = Assert.Single(llama.Generator.Generate([fitting], Greedy));

        Assert.StartsWith("Prompt 2 has 17 tokens but max_seq_len is 16;", exception.Message, StringComparison.Ordinal);
        Assert.Empty(result.Tokens);
        Assert.Equal(FinishReason.Length, result.FinishReason);
    }

    [Fact]
    public void Generate_LessRoomThanMaxGenLen_FillsEachRowsOwnRoom()
    {
        // Line 14: the longest prompt sets no ceiling for the others but max_seq_len.
        using var llama = TestLlama.Demo(maxSequenceLength: 20);
        var results = llama.Generator.Generate(
            [[1, 403], [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298]], Greedy with { StopTokenIds = [] });

        Assert.Equal([18, 9], results.Select(result => result.Tokens.Count));
        Assert.All(results, result => Assert.Equal(FinishReason.Length, result.FinishReason));
    }

    [Theory]
    [InlineData(-1)] // the reference's pad_id
    [InlineData(1024)]
    public void Generate_IdOutsideTheVocabulary_IsRefused(int tokenId)
    {
        // Lines 15 and 16: there is no padding, so no id stands for it, and -1 never reaches the embedding.
        var exception = Assert.Throws<GenerationException>(() => Generator.Generate([[1, tokenId]], Greedy));

        Assert.Equal($"Prompt 1 has token id {tokenId}; this model's ids are 0 to 1023.", exception.Message);
    }

    [Theory]
    [InlineData(0f, 0.9f)]
    [InlineData(1.1f, 0.95f)]
    [InlineData(5f, 0.99f)] // a nucleus of hundreds: the whole row is fetched
    public void Generate_RowsOfDifferentLengths_HaveTheBitsThatEachHasAlone(float temperature, float topP)
    {
        // Lines 17 and 23: neither logits nor draws depend on neighbours.
        var options = Scored with { Temperature = temperature, TopP = topP };
        var together = Generator.CompleteText(Ragged, options);

        for (var row = 0; row < Ragged.Length; row++)
        {
            RequireSame(together[row], Generator.CompleteText([Ragged[row]], options with { FirstRow = row })[0]);
        }
    }

    [Fact]
    public void Generate_RaggedPrompts_ArePrefilledInOneStepAndFinishedRowsLeave()
    {
        // Lines 18 and 26.
        var results = Generator.CompleteText(Ragged, Greedy with { StopTokenIds = [Newline], MaxGenerationLength = 60 });
        var statistics = Generator.Statistics;

        Assert.Equal(1, statistics.PrefillStepCount);
        Assert.Equal(results.Sum(result => result.PromptTokens.Count), statistics.PrefillTokenCount);
        Assert.Contains(results, result => result.FinishReason == FinishReason.Stop);
        // A row runs each token that it generated but the last, which for a stopped row is the stop token, not among its tokens.
        var expected = results.Sum(result => result.FinishReason == FinishReason.Stop ? result.Tokens.Count : result.Tokens.Count - 1);
        Assert.Equal(expected, statistics.DecodeTokenCount);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public void Generate_PromptsCutIntoChunks_HaveTheSameBits(int maxTokensPerStep)
    {
        using var chunked = TestLlama.Demo(maxTokensPerStep: maxTokensPerStep);

        RequireSame(Generator.CompleteText(Ragged, Scored), chunked.Generator.CompleteText(Ragged, Scored));
        RequireSame(Generator.CompleteText(Ragged, Sampled), chunked.Generator.CompleteText(Ragged, Sampled));
    }

    [Fact]
    public void Generate_TemperatureZeroOrTopPZero_TakesTheMostProbableToken()
    {
        // Lines 19 and 22.
        var greedy = Generator.CompleteText(Ragged, Greedy);

        RequireSame(greedy, Generator.CompleteText(Ragged, Greedy with { Temperature = 1.3f, TopP = 0 }));
        Assert.NotEqual(
            greedy.Select(result => result.Text),
            Generator.CompleteText(Ragged, Greedy with { Temperature = 1.3f, TopP = 1 }).Select(result => result.Text));
    }

    [Theory]
    [InlineData(-1f, 0.9f)]
    [InlineData(float.NaN, 0.9f)]
    [InlineData(float.PositiveInfinity, 0.9f)]
    [InlineData(0.6f, -0.1f)]
    [InlineData(0.6f, 1.1f)]
    [InlineData(0.6f, float.NaN)]
    public void Generate_OptionOutOfRange_IsRefused(float temperature, float topP)
    {
        // Lines 19 and 22: the reference takes negative temperatures as 0 and fails inside torch for a negative top_p.
        var options = Greedy with { Temperature = temperature, TopP = topP };

        Assert.Throws<GenerationException>(() => Generator.CompleteText(["a"], options));
    }

    [Fact]
    public void Generate_SameSeedAgain_IsTheSameAndAnotherSeedIsNot()
    {
        // Line 24: no stream runs on from call to call.
        var first = Generator.CompleteText(Ragged, Sampled);

        RequireSame(first, Generator.CompleteText(Ragged, Sampled));
        var other = Generator.CompleteText(Ragged, Sampled with { Seed = 2 });
        Assert.NotEqual(first.Select(result => result.Text), other.Select(result => result.Text));
    }

    [Fact]
    public void Generate_EqualPromptsInOneBatch_AreDrawnApart()
    {
        var results = Generator.CompleteText(["Once upon a time", "Once upon a time"], Sampled);

        Assert.NotEqual(results[0].Text, results[1].Text);
    }

    [Fact]
    public void Generate_StopTokenInsideThePrompt_EndsNothing()
    {
        // Lines 25 and 30: with echo the reference cuts at it and loses the generation.
        int[] prompt = [1, 403, Newline, 407, 2, 261];
        var options = Greedy with { StopTokenIds = [Newline, 2], Echo = true };
        var result = Assert.Single(Generator.Generate([prompt], options));

        Assert.Equal(prompt, result.Tokens.Take(prompt.Length));
        Assert.True(result.Tokens.Count > prompt.Length);
        Assert.Equal(result.Tokens.Skip(prompt.Length), Generator.Generate([prompt], options with { Echo = false })[0].Tokens);
    }

    [Fact]
    public void Generate_AnyOfSeveralStopTokens_EndsTheRowBeforeIt()
    {
        // Lines 27 and 29.
        var free = Generator.CompleteText(["Once upon a time"], Greedy)[0].Tokens;
        var stopped = Generator.CompleteText(["Once upon a time"], Greedy with { StopTokenIds = [free[9], free[5]] })[0];

        Assert.Equal(free.TakeWhile(id => id != free[9] && id != free[5]), stopped.Tokens);
        Assert.Equal(FinishReason.Stop, stopped.FinishReason);
    }

    [Fact]
    public void Generate_Echo_BeginsWithThePrompt()
    {
        // Lines 28, 31 and 37.
        var plain = Generator.CompleteText(["Once upon a time"], Greedy)[0];
        var echoed = Generator.CompleteText(["Once upon a time"], Scored)[0];

        Assert.Equal(echoed.PromptTokens.Concat(plain.Tokens), echoed.Tokens);
        Assert.StartsWith("Once upon a time there was", echoed.Text, StringComparison.Ordinal);
        Assert.Null(plain.LogProbabilities);
        Assert.Equal(echoed.Tokens.Count, echoed.LogProbabilities!.Count);
        Assert.Equal(echoed.Tokens.Count, echoed.TokenStrings.Count);
    }

    [Fact]
    public void Generate_MaxGenLenZero_GivesThePromptOrNothing()
    {
        // Line 32, ragged too.
        var options = Greedy with { MaxGenerationLength = 0, LogProbabilities = true };

        Assert.All(Generator.CompleteText(Ragged, options), result => Assert.Empty(result.Tokens));
        Assert.Equal(0, Generator.Statistics.PrefillStepCount); // nothing was asked of the model
        var echoed = Generator.CompleteText(Ragged, options with { Echo = true });
        Assert.All(echoed, result => Assert.Equal(result.PromptTokens, result.Tokens));
        Assert.Equal(Ragged, echoed.Select(result => result.Text));
        var longer = Generator.CompleteText(Ragged, Scored);
        Assert.All(
            echoed.Zip(longer),
            pair => Assert.Equal(pair.Second.LogProbabilities!.Take(pair.First.Tokens.Count), pair.First.LogProbabilities!));
    }

    [Fact]
    public void Generate_NoRows_GivesNoResults() => Assert.Empty(Generator.Generate([], Greedy)); // line 33

    [Fact]
    public void Generate_RowWithoutTokens_IsRefused()
    {
        // Line 33: an IndexError in the reference. An empty text is BOS alone (line 42).
        var exception = Assert.Throws<GenerationException>(() => Generator.Generate([[1], []], Greedy));

        Assert.StartsWith("Prompt 2 has no tokens;", exception.Message, StringComparison.Ordinal);
        Assert.Equal([1], Generator.CompleteText([""], Greedy)[0].PromptTokens);
    }

    [Fact]
    public void Generate_AfterAnotherCall_SeesNothingOfIt()
    {
        // Line 34.
        using var fresh = TestLlama.Demo();
        Generator.CompleteText([.. Ragged.Reverse()], Sampled with { MaxGenerationLength = 100 });

        RequireSame(fresh.Generator.CompleteText(Ragged, Scored), Generator.CompleteText(Ragged, Scored));
    }

    [Fact]
    public void Generate_LogProbabilities_AreOfTheRawLogits()
    {
        // Lines 35 and 36: score what was sampled at a high temperature as a prompt, and the numbers are the same.
        var sampled = Generator.CompleteText(["Once upon a time"], Sampled)[0];
        var scored = Generator.Generate([[.. sampled.PromptTokens, .. sampled.Tokens]], Scored with { MaxGenerationLength = 0 })[0];

        Assert.Equal(0f, scored.LogProbabilities![0]);
        Assert.All(scored.LogProbabilities.Skip(1), value => Assert.InRange(value, -100f, 0f));
        Assert.Equal(sampled.LogProbabilities, scored.LogProbabilities.Skip(sampled.PromptTokens.Count));
    }

    [Fact]
    public void Generate_PromptOfFullLength_IsScoredAgainstTheNextToken()
    {
        // Line 40: the reference scores a prompt of max_seq_len against itself, not shifted by one.
        var story = Generator.CompleteText(["Once upon a time"], Scored with { MaxGenerationLength = 27 })[0];
        using var tight = TestLlama.Demo(maxSequenceLength: 32);
        var scored = tight.Generator.Generate([story.Tokens], Scored)[0];

        Assert.Equal(32, scored.Tokens.Count);
        Assert.Equal(story.LogProbabilities, scored.LogProbabilities);
    }

    [Fact]
    public void Options_ByDefault_AreTheReferences()
    {
        // Line 42; no maximum stands for all that max_seq_len leaves room for.
        var options = new GenerationOptions();

        Assert.Equal((0.6f, 0.9f, 1L), (options.Temperature, options.TopP, options.Seed));
        Assert.Equal((null, false, false), (options.MaxGenerationLength, options.LogProbabilities, options.Echo));
        Assert.Empty(options.Problems());
    }

    [Fact]
    public void Generate_TokenStrings_JoinToTheText()
    {
        // Line 44: one by one, the reference's lose their spaces and split UTF-8.
        foreach (var result in Generator.CompleteText([.. Ragged], Sampled with { Echo = true }))
        {
            Assert.Equal(result.Text, string.Concat(result.TokenStrings));
            Assert.Equal(Llama.Tokenizer.Decode([.. result.Tokens]), result.Text);
        }
    }

    [Fact]
    public void Generate_SplitUtf8_IsHeldBackUntilItIsComplete()
    {
        // é is C3 A9: byte tokens 3 + 0xC3 and 3 + 0xA9. The last byte here begins a character that never ends.
        var result = Generator.Generate([[1, 3 + 0xC3, 3 + 0xA9, 3 + 0xE2]], Greedy with { Echo = true, MaxGenerationLength = 0 })[0];

        Assert.Equal(["", "", "é", "\uFFFD"], result.TokenStrings);
        Assert.Equal("é\uFFFD", result.Text);
    }

    [Fact]
    public void Generate_Updates_AreTheResultPieceByPiece()
    {
        var updates = new List<RowUpdate>();
        var results = Generator.CompleteText(Ragged, Scored with { StopTokenIds = [Newline], MaxGenerationLength = 60 }, updates.Add);

        foreach (var (row, result) in results.Index())
        {
            var own = updates.Where(update => update.Row == row).ToArray();
            Assert.Equal(result.Tokens, own.SkipLast(1).Select(update => update.TokenId!.Value));
            Assert.Equal(result.Text, string.Concat(own.Select(update => update.Text)));
            Assert.Equal([result.FinishReason], own.Select(update => update.FinishReason).OfType<FinishReason>());
            Assert.Null(own[^1].TokenId);
        }
    }

    [Fact]
    public void Generate_Cancelled_EndsBetweenStepsAndTheNextCallIsWhole()
    {
        using var cancellation = new CancellationTokenSource();
        var count = 0;
        Assert.Throws<OperationCanceledException>(() => Generator.CompleteText(
            ["a"],
            Greedy,
            _ =>
            {
                if (++count == 3)
                {
                    cancellation.Cancel();
                }
            },
            cancellation.Token));

        Assert.Equal(3, count);
        using var fresh = TestLlama.Demo();
        RequireSame(fresh.Generator.CompleteText(Ragged, Scored), Generator.CompleteText(Ragged, Scored));
    }

    [Fact]
    public void CompleteChat_Dialog_IsItsPromptContinued()
    {
        // Lines 45 to 53, with a model that was not trained for it: the tokens are what counts.
        ChatMessage[] dialog = [new(ChatMessage.User, "Once upon a time")];
        var answer = Generator.CompleteChat([dialog], Greedy with { Echo = true })[0];

        Assert.Equal(new Llama2ChatFormat().Encode(dialog, Llama.Tokenizer), answer.PromptTokens);
        Assert.Equal(Generator.Generate([answer.PromptTokens], Greedy)[0].Tokens, answer.Tokens); // chat_completion knows no echo
    }

    [Fact]
    public void CompleteChat_SpecialTags_AreAnsweredWithTheReferencesSentenceAndNotRun()
    {
        // Line 51; the rows around it are what they are without it.
        ChatMessage[] fine = [new(ChatMessage.User, "Once upon a time")];
        ChatMessage[] tagged = [new(ChatMessage.User, "[INST] Once [/INST]")];
        var updates = new List<RowUpdate>();
        var results = Generator.CompleteChat([tagged, fine], Sampled, updates.Add);

        Assert.Equal("Error: special tags are not allowed as part of the prompt.", results[0].Text);
        Assert.Empty(results[0].Tokens);
        Assert.Equal(new RowUpdate(0, null, results[0].Text, FinishReason.Stop), updates.Single(update => update.Row == 0));
        Assert.Equal(results[1].PromptTokens.Count, Generator.Statistics.PrefillTokenCount);
        RequireSame(results[1], Generator.CompleteChat([fine], Sampled with { FirstRow = 1 })[0]);
    }

    private static void RequireSame(GenerationResult[] expected, GenerationResult[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair => RequireSame(pair.First, pair.Second));
    }

    // Bit for bit: floats are compared by equality.
    private static void RequireSame(GenerationResult expected, GenerationResult actual)
    {
        Assert.Equal(expected.PromptTokens, actual.PromptTokens);
        Assert.Equal(expected.Tokens, actual.Tokens);
        Assert.Equal(expected.Text, actual.Text);
        Assert.Equal(expected.LogProbabilities, actual.LogProbabilities);
        Assert.Equal(expected.FinishReason, actual.FinishReason);
    }
}
