using System.Text.Json;
using Distributed.Worker.Options;

namespace Distributed.Worker.Tests.Options;

public sealed class ConfigFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_BothSpellingsAndAllKinds_GivesTheirValues()
    {
        var line = Parse(
            "complete",
            """
            {
              // both spellings
              "max_seq_len": 77, "top-p": 0.25, "echo": true, "max_gen_len": null, "stop_token_ids": [2, 13],
              "prompts": ["a", "b\nc"], "prompt_tokens": [[1, 2], [3]], "format": "json",
            }
            """);
        var options = RunOptions.Read("complete", line.Values, []);

        Assert.Empty(line.Problems);
        Assert.Equal(77, options.MaxSequenceLength);
        Assert.Equal(0.25f, options.Generation.TopP);
        Assert.True(options.Generation.Echo);
        Assert.Equal(64, options.Generation.MaxGenerationLength); // null is as good as absent
        Assert.Equal([2, 13], options.Generation.StopTokenIds.AsEnumerable());
        Assert.Equal(OutputFormat.Json, options.Format);
        Assert.Equal(["a", "b\nc"], line.Values[OptionCatalog.Prompt]!.Values);
        Assert.Equal(["1,2", "3"], line.Values[OptionCatalog.PromptTokens]!.Values);
    }

    [Fact]
    public void Read_FlatPromptTokens_IsOnePrompt()
        => Assert.Equal(["1,2,3"], Parse("complete", """{"prompt_tokens": [1, 2, 3]}""").Values[OptionCatalog.PromptTokens]!.Values);

    [Fact]
    public void Read_FlagsToo_FlagsWin()
    {
        var line = Parse("complete", """{"temperature": 0.5, "top_p": 0.5}""", "--temperature", "0.1");
        var options = RunOptions.Read("complete", line.Values, []);

        Assert.Equal(0.1f, options.Generation.Temperature);
        Assert.Equal(0.5f, options.Generation.TopP);
    }

    [Fact]
    public void Read_PromptOnTheCommandLine_LeavesTheConfigsPromptsOut()
    {
        var line = Parse("complete", """{"prompts": ["a"], "prompt_tokens": [1]}""", "--prompts-file", "f");

        Assert.Null(line.Values[OptionCatalog.Prompt]);
        Assert.Null(line.Values[OptionCatalog.PromptTokens]);
    }

    [Fact]
    public void Read_RelativePaths_AreRelativeToTheConfig()
    {
        var absolute = Path.GetFullPath(Path.Combine(Path.GetTempPath(), "t.model"));
        var line = Parse("complete", $$"""{"ckpt_dir": "demo", "tokenizer_path": {{JsonSerializer.Serialize(absolute)}}}""");

        Assert.Equal(Path.Combine(_folder.Path, "demo"), line.Values[OptionCatalog.CheckpointDirectory]!.Last);
        Assert.Equal(absolute, line.Values[OptionCatalog.TokenizerPath]!.Last);
    }

    [Fact]
    public void Read_UnknownKey_ListsTheKnownOnes()
    {
        var problem = Assert.Single(Parse("complete", """{"temprature": 1}""").Problems);

        Assert.Contains("\"temprature\"", problem, StringComparison.Ordinal);
        Assert.Contains("temperature, top_p, seed", problem, StringComparison.Ordinal);
        Assert.Contains("prompts", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("dialogs", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"top_p": [0.5]}""")]
    [InlineData("""{"top_p": {}}""")]
    [InlineData("""{"prompts": [["a"]]}""")]
    [InlineData("""{"prompt_tokens": [["a"]]}""")]
    [InlineData("""{"top_p": 0.5, "top-p": 0.6}""")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("")]
    [InlineData("""{"prompt": "\ud800"}""")]
    public void Read_NotAConfig_IsOneSentenceThatNamesTheFile(string json)
        => Assert.Contains("config.json", Assert.Single(Parse("complete", json).Problems), StringComparison.Ordinal);

    [Fact]
    public void Read_MissingFile_IsOneSentence()
    {
        var problems = CommandLine.Parse(["complete", "--config", "nowhere.json"]).Problems;

        Assert.StartsWith("--config nowhere.json cannot be read", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ValueOutOfRange_SentenceNamesKeyAndFile()
    {
        var line = Parse("complete", """{"max_seq_len": 0}""");
        RunOptions.Read("complete", line.Values, line.Problems);

        var path = Path.Combine(_folder.Path, "config.json");
        Assert.Contains($"\"max_seq_len\" in {path}: 0 is not a whole number from 1 to 1048576.", line.Problems);
    }

    [Fact]
    public void Read_Dialogs_KeepsTheirJson()
        => Assert.Equal(
            """[{"role": "user", "content": "hi"}]""",
            Parse("chat", """{"dialogs": [{"role": "user", "content": "hi"}]}""").Values[OptionCatalog.Dialogs]!.Last);

    private CommandLine Parse(string command, string json, params string[] arguments)
        => CommandLine.Parse([command, "--config", _folder.Write("config.json", json), .. arguments]);
}
