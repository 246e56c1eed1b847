using System.IO.Compression;
using System.Text.RegularExpressions;

namespace Distributed.EndToEnd.Tests;

/// <summary>What cannot be used is refused with a sentence, before anything is started where that can be told.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public BadInputTests()
    {
        foreach (var file in new[] { "params.json", "tokenizer.model", "consolidated.00.pth", "consolidated.01.pth" })
        {
            File.Copy(Path.Combine(Repository.DemoCheckpoint, file), _distrun.Files[file]);
        }
    }

    public void Dispose() => _distrun.Dispose();

    [Theory]
    [InlineData("--top-p 1.5", "top_p is 1.5; it must be from 0 .* to 1")]
    [InlineData("--temperature=-1", "temperature is -1; it must be 0 .* or from 0.000001 to 100")]
    [InlineData("--max-seq-len 4", "Prompt 1 has 5 tokens but max_seq_len is 4; shorten the prompt or raise max_seq_len")]
    [InlineData("--colour", "'--colour' is no option of complete; worker complete --help lists them")]
    [InlineData("--seed", "--seed needs a value")]
    [InlineData("--stop-token-ids 1024", "--stop-token-ids has 1024; this model's ids are 0 to 1023")]
    [InlineData("--prompt-tokens 1,2000", "Prompt 2 .*2000")]
    [InlineData("--prompts-file nowhere.txt", "--prompts-file nowhere.txt cannot be read: .*nowhere.txt")]
    [InlineData("--prompts-file /dev/fd/63", "--prompts-file /dev/fd/63 cannot be read: it is no regular file and has to be read more than once; write it to a file first")]
    [InlineData("--tokenizer-path nowhere.model", "The tokenizer nowhere.model does not exist")]
    [InlineData("--config nowhere.json", "--config nowhere.json cannot be read: .*nowhere.json")]
    [InlineData("--config bad-key.json", "\"colour\" in bad-key.json is no option of complete; the keys are model, ckpt_dir, ")]
    [InlineData("--config bad-value.json", "\"top_p\" in bad-value.json is of the kind array")]
    public Task Complete_BadOption_IsOneSentence(string options, string sentence)
    {
        File.WriteAllText(_distrun.Files["bad-key.json"], """{"colour": "red"}""");
        File.WriteAllText(_distrun.Files["bad-value.json"], """{"top_p": [1]}""");
        return RequireRefused("2", options.Split(' '), sentence);
    }

    [Theory]
    [InlineData("consolidated.00.pth", null, "consolidated.00.pth is missing: the folder holds consolidated.01.pth; download the missing shard")]
    [InlineData("consolidated.01.pth", null, "consolidated.00.pth has rows for 512 of the tokenizer's 1024 tokens; download the missing shards")]
    [InlineData("params.json", null, "params.json does not exist; a checkpoint folder")]
    [InlineData("params.json", "{\"dim\": 128", "params.json is no valid JSON: .* LineNumber: 0")]
    [InlineData("params.json", "{\"dim\": 128}", "params.json lacks the key n_layers")]
    [InlineData("tokenizer.model", "not a model", "The tokenizer .* is damaged or no SentencePiece model; download it again")]
    [InlineData("consolidated.01.pth", "version https://git-lfs.github.com/spec/v1\n", "consolidated.01.pth is a Git LFS pointer")]
    public Task Complete_BadFile_IsOneSentence(string file, string? content, string sentence)
    {
        File.Delete(_distrun.Files[file]);
        if (content is not null)
        {
            File.WriteAllText(_distrun.Files[file], content);
        }

        return RequireRefused("2", [], sentence);
    }

    /// <summary>Two shards, and other numbers of ranks: the reference refuses this.</summary>
    [Fact]
    public async Task Complete_OtherWorldSizesThanShards_SayTheSame()
    {
        var two = await Complete("2", ["--temperature", "0"]);
        foreach (var worldSize in new[] { "1", "3" })
        {
            var other = await Complete(worldSize, ["--temperature", "0"]);
            Assert.Equal((0, two.Output), (other.ExitCode, other.Output));
        }
    }

    [Fact]
    public Task Complete_ShardCutShort_IsOneSentence()
    {
        using (var shard = File.OpenWrite(_distrun.Files["consolidated.01.pth"]))
        {
            shard.SetLength(shard.Length - 1000);
        }

        return RequireRefused("2", [], "consolidated.01.pth is not an intact checkpoint: .*; it may be cut short or damaged, so download or save it again");
    }

    /// <summary>Only the rank that reads these weights can find this; another may notice its end before the launcher ends it too.</summary>
    [Fact]
    public async Task Complete_OneBitOfAWeightFlipped_IsOneSentenceOfItsRank()
    {
        var path = _distrun.Files["consolidated.01.pth"];
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[bytes.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);

        var result = await Complete("2", []);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        var lines = result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Single(lines, line => Regex.IsMatch(
            line, @"^\[rank1\]: .*consolidated.01.pth is damaged: tensor '.*' does not match its checksum; download it again\.$"));
        Assert.All(lines, line => Assert.Matches(@"^\[rank1\]: .* is damaged|^\[rank0\]: (transport: .*|.* lost rank 1.*)$", line));
    }

    /// <summary>torch.load without weights_only would run this.</summary>
    [Fact]
    public async Task Complete_ShardThatRunsACommand_IsRefusedByNameAndRunsNothing()
    {
        var proof = _distrun.Files["proof"];
        var command = $"touch {proof}";
        Assert.InRange(command.Length, 1, 255);
        using (var shard = new ZipArchive(File.Create(_distrun.Files["consolidated.01.pth"]), ZipArchiveMode.Create))
        {
            // PROTO 2, GLOBAL posix.system, SHORT_BINSTRING command, TUPLE1, REDUCE, STOP
            byte[] pickle =
            [
                0x80, 2, .. "cposix\nsystem\n"u8, (byte)'U', (byte)command.Length, .. System.Text.Encoding.ASCII.GetBytes(command), 0x85, (byte)'R', (byte)'.',
            ];
            Add(shard, "archive/data.pkl", pickle);
            Add(shard, "archive/version", [.. "3\n"u8]);
        }

        await RequireRefused("2", [], "consolidated.01.pth has a data.pkl that names the global 'posix.system'.* nothing was run");
        Assert.False(File.Exists(proof));
    }

    private static void Add(ZipArchive archive, string name, byte[] content)
    {
        using var stream = archive.CreateEntry(name, CompressionLevel.NoCompression).Open();
        stream.Write(content);
    }

    /// <summary>One line on stderr that is the sentence, exit code 2, nothing on stdout, and no rank was there to say anything.</summary>
    private async Task RequireRefused(string worldSize, string[] options, string sentence)
    {
        var result = await Complete(worldSize, options);
        var line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Matches(sentence, line);
        Assert.DoesNotMatch(@"rank\d\]|Exception|^ +at |=====", line);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
    }

    private Task<LaunchResult> Complete(string worldSize, string[] options) => _distrun.Run(
    [
        "--nproc-per-node", worldSize, "worker", "complete", "--ckpt-dir", ".", "--tokenizer-path", "tokenizer.model", "--prompt", "Once upon a time",
        .. options,
    ]);
}
