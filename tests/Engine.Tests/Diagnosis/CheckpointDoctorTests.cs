using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Tests.Checkpoints;

namespace Distributed.Engine.Tests.Diagnosis;

/// <summary>Folders with something wrong, and what is said about them.</summary>
public sealed class CheckpointDoctorTests : IDisposable
{
    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References");
    private static readonly string DemoTokenizer = Path.Combine(Repository.DemoCheckpoint, "tokenizer.model");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Examine_Demo_WouldLoadAndSaysWhatItIs()
    {
        var report = Examine(Repository.DemoCheckpoint, DemoTokenizer, deep: 2);

        Assert.True(report.WouldLoad);
        Assert.Equal((CheckpointLayout.Meta, ModelFamily.Llama, 2, TensorType.BFloat16), (report.Model!.Layout, report.Model.Family, report.Model.ShardCount, report.Model.Type));
        Assert.Equal(("SentencePiece BPE", 1024, "Llama-2"), (report.Tokenizer!.Kind, report.Tokenizer.VocabularySize, report.Tokenizer.ChatFormat));
        Assert.Equal(["consolidated.00.pth", "consolidated.01.pth"], report.Files.Select(file => file.Name));
        Assert.All(report.Files, file => Assert.Equal(("CRC-32", true), (file.Check, file.IsRight)));
        Assert.Equal([1, 2, 4, 8], report.Memory.Select(memory => memory.WorldSize));
        Assert.Equal(4, report.Speed.Count);
        Assert.True(report.Machine is { ReadBytesPerSecond: > 1e7, MultiplyAddsPerSecond: > 1e7, KernelPath.Length: > 0 });
        Says(report, FindingLevel.Note, "vocab_size -1); the files have 1024.");
        Says(report, FindingLevel.Note, "divide the embedding by columns, as those of Llama 1 and 2 do");
        Says(report, FindingLevel.Note, "2 ranks and one rank agree after every layer");
    }

    [Fact]
    public void Examine_SeveralBadShards_NamesEachOfThem()
    {
        TinyCheckpoint.Write(_folder.Path, 4, EmbeddingLayout.SplitByVocabulary);
        File.WriteAllText(_folder["consolidated.01.pth"], "version https://git-lfs.github.com/spec/v1\n");
        using (var cut = File.OpenWrite(_folder["consolidated.02.pth"]))
        {
            cut.SetLength(cut.Length / 2);
        }

        File.WriteAllText(_folder["params.json"], TinyCheckpoint.Parameters.Replace("\"dim\": 8", "\"dim\": -8", StringComparison.Ordinal));

        var findings = Findings();

        Assert.Equal(3, findings.Count(finding => finding.Level == FindingLevel.Error));
        Says(findings, FindingLevel.Error, "consolidated.01.pth is a Git LFS pointer");
        Says(findings, FindingLevel.Error, "consolidated.02.pth");
        Says(findings, FindingLevel.Error, "params.json has dim -8");
    }

    [Fact]
    public void Examine_FilesOfAnotherProgram_AreNamed()
    {
        File.WriteAllText(_folder["model.gguf"], "GGUF");

        var findings = Findings();

        Says(findings, FindingLevel.Error, "No checkpoint files found in");
        Says(findings, FindingLevel.Error, "model.gguf is there: GGUF files are llama.cpp's");
    }

    [Fact]
    public void Examine_MissingSafetensorsFiles_AreAllNamed()
    {
        File.WriteAllText(_folder["config.json"], File.ReadAllText(Path.Combine(References, "llama2-linear", "config.json")));
        File.WriteAllText(
            _folder["model.safetensors.index.json"],
            File.ReadAllText(Path.Combine(References, "llama2-linear", "model.safetensors.index.json")));

        var findings = Findings();

        Says(findings, FindingLevel.Error, "model-00001-of-00002.safetensors is missing");
        Says(findings, FindingLevel.Error, "model-00002-of-00002.safetensors is missing");
    }

    [Fact]
    public void Examine_Checklist_FindsDamageWithTheFileThatHasIt()
    {
        TinyCheckpoint.Write(_folder.Path, 2, EmbeddingLayout.SplitByDimension);
        var names = new[] { "consolidated.00.pth", "consolidated.01.pth", "params.json" };
        File.WriteAllLines(
            _folder["checklist.chk"],
            names.Select(name => $"{Md5(_folder[name])}  {name}").Append($"{new string('0', 32)} *consolidated.02.pth").Append("no line of it"));
        var right = new List<Finding>();
        var verdicts = Checksums(right);
        Assert.Equal(names, verdicts.Select(verdict => verdict.Name));
        Assert.All(verdicts, verdict => Assert.Equal(("md5", true), (verdict.Check, verdict.IsRight))); // and no second reading
        Says(right, FindingLevel.Error, "consolidated.02.pth is in the checklist and not in the folder; download it.");
        Says(right, FindingLevel.Warning, "line 5, is not an md5 and a plain file name (no line of it)");

        // A byte of a weight: the container is as it was.
        TurnABit(_folder["consolidated.01.pth"]);
        var wrong = new List<Finding>();
        verdicts = Checksums(wrong);

        Assert.Equal(["consolidated.00.pth", "consolidated.01.pth", "consolidated.01.pth", "params.json"], verdicts.Select(verdict => verdict.Name));
        Assert.Equal(2, verdicts.Count(verdict => !verdict.IsRight));
        Says(wrong, FindingLevel.Error, "consolidated.01.pth has the md5");
        Says(wrong, FindingLevel.Error, "tensor 'tok_embeddings.weight' does not match its checksum; download it again.");
    }

    [Fact]
    public void Examine_TokenizerOfAnotherModel_WouldNotLoad()
    {
        TinyCheckpoint.Write(_folder.Path);

        var report = Examine(_folder.Path, DemoTokenizer);

        Assert.False(report.WouldLoad);
        Says(report, FindingLevel.Error, "The tokenizer has 1024 tokens but the model 12; use the checkpoint's own tokenizer.");
        Assert.Equal(FindingLevel.Error, report.Findings[0].Level); // what matters first
    }

    [Theory]
    [InlineData("llama3", "torch_dtype", "float16", "config.json says float16 but the files hold")]
    [InlineData("mistral", null, null, "From layer 0 on a token attends to the last 5 positions alone")]
    [InlineData("llama3", null, null, "Rotary angles are scaled by 8 (llama3)")]
    [InlineData("llama3", null, null, "The files have no output.weight; the embedding takes its place")]
    [InlineData("llama3", null, null, "safetensors files have no checksums")]
    public void Examine_WhatConfigsLeaveOpen_IsSaid(string model, string? key, string? value, string sentence)
    {
        foreach (var file in Directory.GetFiles(Path.Combine(References, model)))
        {
            File.Copy(file, _folder[Path.GetFileName(file)]);
        }

        if (key is not null)
        {
            var config = JsonNode.Parse(File.ReadAllText(_folder["config.json"]))!;
            config[key] = value;
            File.WriteAllText(_folder["config.json"], config.ToJsonString());
        }

        Says(Examine(_folder.Path, null), FindingLevel.Note, sentence);
    }

    private IReadOnlyList<FileVerdict> Checksums(List<Finding> findings)
    {
        using var checkpoint = CheckpointFolder.Open(_folder.Path, null);
        return new ChecksumExamination(_folder.Path, 2, findings, null, CancellationToken.None).Run(checkpoint, null);
    }

    private List<Finding> Findings()
    {
        var findings = new List<Finding>();
        Assert.Null(FolderExamination.Open(_folder.Path, findings));
        return findings;
    }

    private static DoctorReport Examine(string directory, string? tokenizer, int? deep = null) => new CheckpointDoctor(new DoctorOptions
    {
        Directory = directory,
        TokenizerPath = tokenizer,
        MaxSequenceLength = 128,
        MaxBatchSize = 1,
        WorldSizes = [1, 2, 4, 8],
        DeepWorldSize = deep,
        ThreadCount = 2,
    }).Examine();

    private static void Says(DoctorReport report, FindingLevel level, string sentence) => Says(report.Findings, level, sentence);

    private static void Says(IEnumerable<Finding> findings, FindingLevel level, string sentence)
    {
        Assert.All(findings, finding => Assert.EndsWith(".", finding.Message, StringComparison.Ordinal));
        Assert.Contains(findings, finding => finding.Level == level && finding.Message.Contains(sentence, StringComparison.Ordinal));
    }

    private static void TurnABit(string path)
    {
        using var file = ShardFile.Open(path);
        var offset = (int)ShardIndex.Read(file).Tensors["tok_embeddings.weight"].Offset;
        var bytes = File.ReadAllBytes(path);
        bytes[offset] ^= 1;
        file.Dispose();
        File.WriteAllBytes(path, bytes);
    }

    private static string Md5(string path)
    {
#pragma warning disable CA5351 // the list that Meta publishes has no other
        return Convert.ToHexStringLower(MD5.HashData(File.ReadAllBytes(path)));
#pragma warning restore CA5351
    }
}
