using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Worker.Options;

namespace Distributed.Worker.Tests.Options;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("--max-seq-len", "77")]
    [InlineData("--max_seq_len", "77")]
    [InlineData("--max-seq-len=77")]
    [InlineData("--max_seq_len=77")]
    [InlineData("--max-seq-len", "5", "--max_seq_len", "77")] // the last one counts, as in argparse
    public void Parse_EitherSpellingAndForm_GivesTheValue(params string[] arguments)
    {
        var line = CommandLine.Parse(["complete", .. arguments]);

        Assert.Empty(line.Problems);
        Assert.Equal("77", line.Values[OptionCatalog.MaxSequenceLength]!.Last);
    }

    [Fact]
    public void Parse_EveryOptionOfEveryCommand_HasBothSpellings()
    {
        foreach (var command in new[] { OptionCatalog.Complete, OptionCatalog.Chat, OptionCatalog.Tokenize, OptionCatalog.Convert, OptionCatalog.Inspect })
        {
            foreach (var option in OptionCatalog.Of(command).Where(option => !option.ConfigOnly && option.Name != OptionCatalog.Config))
            {
                foreach (var spelling in new[] { option.Name, option.UnderscoreName })
                {
                    var line = CommandLine.Parse([command, $"--{spelling}", .. option.ValueName is null ? Array.Empty<string>() : ["v"]]);

                    Assert.Empty(line.Problems);
                    Assert.Equal(option.ValueName is null ? "true" : "v", line.Values[option.Name]!.Last);
                }
            }
        }
    }

    [Theory]
    [InlineData(true, "--echo")]
    [InlineData(true, "--echo", "true")]
    [InlineData(true, "--echo=True")]
    [InlineData(false, "--echo", "false")]
    [InlineData(false, "--echo=False")]
    [InlineData(false)]
    public void Read_Switch_TakesAnOptionalValue(bool expected, params string[] arguments)
    {
        var line = CommandLine.Parse(["complete", .. arguments, "--seed", "5"]);
        var options = RunOptions.Read("complete", line.Values, line.Problems);

        Assert.Equal(expected, options.Generation.Echo);
        Assert.Equal(5, options.Generation.Seed);
    }

    [Fact]
    public void Parse_RepeatedPrompts_KeepsAllInOrderAndReadsNoResponseFiles()
    {
        var line = CommandLine.Parse(["complete", "--prompt", "one", "--prompt=two words", "--prompt", "@three", "--prompt", "-4"]);

        Assert.Empty(line.Problems);
        Assert.Equal(["one", "two words", "@three", "-4"], line.Values[OptionCatalog.Prompt]!.Values);
    }

    [Fact]
    public void Read_Nothing_IsMetasExampleScripts()
    {
        // inference.md line 58
        var complete = RunOptions.Read("complete", new OptionValues(), []);
        var chat = RunOptions.Read("chat", new OptionValues(), []);

        Assert.Equal((0.6f, 0.9f, 128, 64, 4), Defaults(complete));
        Assert.Equal((0.6f, 0.9f, 512, null, 8), Defaults(chat));
        Assert.Equal(1, complete.Generation.Seed); // line 2

        static (float, float, int, int?, int) Defaults(RunOptions options) => (
            options.Generation.Temperature,
            options.Generation.TopP,
            options.MaxSequenceLength,
            options.Generation.MaxGenerationLength,
            options.MaxBatchSize);
    }

    [Fact]
    public void Read_ManyMistakes_NamesThemAllAtOnce()
    {
        var line = CommandLine.Parse(
        [
            "complete", "--temperature", "-0.5", "--top_p=1.5", "--max-seq-len", "0", "--max-batch-size", "many", "--max-gen-len", "-1",
            "--seed", "1.5", "--format", "xml", "--echo=perhaps", "--stop-token-ids", "2,x", "--wire", "fp8", "--colour", "red",
        ]);
        RunOptions.Read("complete", line.Values, line.Problems);

        Assert.Collection(
            line.Problems.Order(StringComparer.Ordinal),
            problem => Assert.Equal("'--colour' is no option of complete; worker complete --help lists them.", problem),
            problem => Assert.StartsWith("--ckpt-dir is missing; name the folder", problem, StringComparison.Ordinal),
            problem => Assert.Equal("--echo perhaps is neither true nor false.", problem),
            problem => Assert.Equal("--format xml is not text or json.", problem),
            problem => Assert.Equal("--max-batch-size many is not a whole number from 1 to 4096.", problem),
            problem => Assert.Equal("--max-gen-len -1 is not a whole number from 0 to 2147483647.", problem),
            problem => Assert.Equal("--max-seq-len 0 is not a whole number from 1 to 1048576.", problem),
            problem => Assert.Equal("--seed 1.5 is not a whole number of at most 64 bits.", problem),
            problem => Assert.Equal("--stop-token-ids 2,x: 'x' is not a token id; write whole numbers such as 1,15043.", problem),
            problem => Assert.StartsWith("--tokenizer-path is missing; name", problem, StringComparison.Ordinal),
            problem => Assert.Equal("--wire fp8 is none of exact, bf16, int8.", problem),
            problem => Assert.StartsWith("temperature is -0.5; it must be 0", problem, StringComparison.Ordinal),
            problem => Assert.StartsWith("top_p is 1.5; it must be from 0", problem, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("2")]
    [InlineData("NaN")]
    [InlineData("-0.1")]
    public void Read_TopPOutOfRange_SaysSo(string text) => Assert.Single(Problems("--top-p", text));

    [Theory]
    [InlineData("NaN")]
    [InlineData("Infinity")]
    [InlineData("1e-9")]
    [InlineData("101")]
    public void Read_TemperatureOutOfRange_SaysSo(string text) => Assert.Single(Problems("--temperature", text));

    [Theory]
    [InlineData("--temperature", "0")]
    [InlineData("--temperature", "100")]
    [InlineData("--top-p", "0")]
    [InlineData("--top-p", "1")]
    [InlineData("--max-gen-len", "0")]
    [InlineData("--max-gen-len", "None")]
    [InlineData("--stop-token-ids", "[2, 13]")]
    [InlineData("--seed", "-9223372036854775808")]
    public void Read_ValueAtTheBorder_IsTaken(string option, string text) => Assert.Empty(Problems(option, text));

    [Fact]
    public void Read_UnknownDataType_NamesThoseThatThereAre() => Assert.Equal(["--dtype int9 is none of auto, int8, int4."], Problems("--dtype", "int9"));

    [Theory]
    [InlineData("--dtype", "bf16", "--dtype bf16 belongs to --backend torch; the managed backend has auto, int8, int4.")]
    [InlineData("--device", "cuda", "--device cuda belongs to --backend torch; add that, or leave it out.")]
    [InlineData("--matmul-precision", "high", "--matmul-precision high belongs to --backend torch; the managed backend has highest, medium.")]
    [InlineData("--matmul-precision", "low", "--matmul-precision low is none of highest, medium.")]
    [InlineData("--backend", "tensorflow", "--backend tensorflow is not managed or torch.")]
    [InlineData("--transport", "mpi", "--transport mpi is none of auto, shm, grpc, nccl.")]
    public void Read_OptionOfAnotherBackend_SaysWhichHasIt(string option, string value, string expected) => Assert.Equal([expected], Problems(option, value));

    [Fact]
    public void Read_TorchWithACacheType_IsRefused()
        => Assert.Contains(
            "--cache-dtype int8 belongs to --backend managed; the cache of torch follows --matmul-precision, so leave it out.",
            Problems("--backend", "torch", "--cache-dtype", "int8"));

    [Fact]
    public void Read_TorchWithThePrecisionOfTheManagedBackend_IsRefused()
        => Assert.Contains(
            "--matmul-precision highest belongs to --backend managed; the torch backend has high, medium.",
            Problems("--backend", "torch", "--matmul-precision", "highest"));

    [Theory]
    [InlineData("highest", MatmulPrecision.Highest)]
    [InlineData("medium", MatmulPrecision.Medium)]
    public void Read_MatmulPrecision_IsThatOfTheManagedBackend(string given, MatmulPrecision expected)
    {
        var line = CommandLine.Parse(["complete", "--matmul_precision", given]);

        Assert.Equal(expected, RunOptions.Read("complete", line.Values, line.Problems).MatmulPrecision);
    }

    [Fact]
    public void Read_TorchWhereItIsNotBuiltIn_SaysHowToBuildIt()
    {
        Assert.SkipUnless(TorchSupport.FindProblem() is not null, "This build has it.");
        var problem = Assert.Single(Problems("--backend", "torch"));
        Assert.Contains("-p:Torch=cuda-linux", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_Torch_HasItsOwnTypes()
    {
        var line = CommandLine.Parse(
            ["complete", "--backend", "torch", "--device", "cpu", "--dtype", "bf16", "--matmul_precision", "medium", "--transport", "shm"]);

        var torch = RunOptions.Read("complete", line.Values, line.Problems).Torch;

        Assert.Equal(
            new TorchOptions { Device = TorchDeviceKind.Cpu, DataType = TorchDataType.BFloat16, Precision = TorchPrecision.Medium, Nccl = NcclUse.Never }, torch);
    }

    [Fact]
    public void Read_MaxGenLenNone_IsNoLimit()
    {
        var line = CommandLine.Parse(["complete", "--max_gen_len", "None"]);

        Assert.Null(RunOptions.Read("complete", line.Values, line.Problems).Generation.MaxGenerationLength);
    }

    [Theory]
    [InlineData("Name a command: complete, chat, serve, tokenize, convert, inspect or doctor; worker --help describes them.")]
    [InlineData("'translate' is no command: name complete, chat, serve, tokenize, convert, inspect or doctor; worker --help describes them.", "translate")]
    [InlineData("'--seed' is no command: name complete, chat, serve, tokenize, convert, inspect or doctor; worker --help describes them.", "--seed", "3", "translate")]
    [InlineData("'of time' belongs to no option of complete; put a text with spaces in quotes.", "complete", "--prompt", "Out", "of", "time")]
    [InlineData("--prompt needs a value (TEXT); worker complete --help says which.", "complete", "--prompt")]
    public void Parse_WordsThatFitNowhere_AreOneSentence(string sentence, params string[] arguments)
        => Assert.Equal([sentence], CommandLine.Parse(arguments).Problems);

    [Fact]
    public void Parse_ConfigThatCannotBeRead_HidesWhatItMightHaveSaid()
    {
        var line = CommandLine.Parse(["complete", "--config", "nowhere.json"]);

        Assert.Null(line.Command); // so that nothing else is missed, such as --ckpt-dir
        Assert.StartsWith("--config nowhere.json cannot be read", Assert.Single(line.Problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("complete", "--help")]
    [InlineData("--version")]
    public void Parse_HelpOrVersion_IsNoMistake(params string[] arguments)
    {
        var line = CommandLine.Parse(arguments);

        Assert.NotNull(line.PrintHelp);
        Assert.Empty(line.Problems);
    }

    private static List<string> Problems(params string[] options)
    {
        var line = CommandLine.Parse(["complete", "--ckpt-dir", "c", "--tokenizer-path", "t", .. options]);
        RunOptions.Read("complete", line.Values, line.Problems);
        return line.Problems;
    }
}
