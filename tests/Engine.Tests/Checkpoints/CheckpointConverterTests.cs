using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class CheckpointConverterTests : IDisposable
{
    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The demo has two shards; each way to hold the same weights gives the same logits to the last bit.</summary>
    [Fact]
    public void Convert_DemoThereAndBack_GivesTheSameBits()
    {
        var expected = Logits(Repository.DemoCheckpoint, worldSize: 2);
        Convert(Repository.DemoCheckpoint, "hf", new() { Layout = CheckpointLayout.HuggingFace, MaxFileByteCount = 500_000 });
        Convert(_folder["hf"], "mp4", new() { Layout = CheckpointLayout.Meta, ShardCount = 4 });
        Convert(_folder["mp4"], "mp1", new() { Layout = CheckpointLayout.Meta });

        Assert.True(File.Exists(_folder[Path.Combine("hf", "model.safetensors.index.json")]));
        Assert.Equal(4, Directory.GetFiles(_folder["mp4"], "*.pth").Length);
        Assert.Equal(expected, Logits(_folder["hf"], worldSize: 4));
        Assert.Equal(expected, Logits(_folder["mp4"], worldSize: 1));
        Assert.Equal(expected, Logits(_folder["mp1"], worldSize: 8));
        Assert.Equal(5, Directory.GetFileSystemEntries(_folder["mp4"]).Length); // nothing partial is left
    }

    [Fact]
    public void Convert_TiedLlama3_StaysTiedAndScaled()
    {
        // The layout of Meta says Llama 3.1's own constants alone.
        var source = _folder["source"];
        Directory.CreateDirectory(source);
        File.Copy(Path.Combine(References, "llama3", "model.safetensors"), Path.Combine(source, "model.safetensors"));
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(References, "llama3", "config.json")))!;
        config["rope_scaling"]!["original_max_position_embeddings"] = 8192;
        File.WriteAllText(Path.Combine(source, "config.json"), config.ToJsonString());
        var expected = Logits(source, worldSize: 1);

        Convert(source, "mp1", new() { Layout = CheckpointLayout.Meta });
        Convert(source, "fp32", new() { Layout = CheckpointLayout.HuggingFace, Type = TensorType.Float32 });

        Assert.Equal(expected, Logits(_folder["mp1"], worldSize: 2));
        using var wide = CheckpointFolder.Open(_folder["fp32"], null);
        using var mapped = wide.Map();
        Assert.True(mapped.TiesOutput);
        Assert.All(mapped.Tensors, tensor => Assert.Equal(TensorType.Float32, tensor.Type));
    }

    [Theory]
    [InlineData("qwen2", "biases of queries, keys and values")]
    [InlineData("qwen3", "norms of query and key heads")]
    [InlineData("mistral", "a sliding window")]
    [InlineData("llama2-linear", "linear rotary scaling")]
    [InlineData("llama3", "other constants than Llama 3.1's")]
    public void Convert_WhatMetasLayoutCannotSay_IsRefused(string name, string sentence)
    {
        using var checkpoint = CheckpointFolder.Open(Path.Combine(References, name), null);

        var error = Assert.Throws<CheckpointException>(
            () => CheckpointConverter.Convert(checkpoint, _folder["out"], new() { Layout = CheckpointLayout.Meta }));

        Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>A process that is killed leaves what it had written so far; a copy of that, taken while it writes, is the same.</summary>
    [Theory]
    [InlineData(CheckpointLayout.Meta)]
    [InlineData(CheckpointLayout.HuggingFace)]
    public void Convert_KilledMidway_GoesOnFromTheFinishedFiles(CheckpointLayout layout)
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var options = new ConversionOptions { Layout = layout, ShardCount = layout == CheckpointLayout.Meta ? 4 : 1, MaxFileByteCount = 700_000 };
        CheckpointConverter.Convert(checkpoint, _folder["whole"], options, new AtByte(1_500_000, () => Copy("whole.partial", "resumed.partial")));
        var finished = Directory.GetFiles(_folder["resumed.partial"], layout == CheckpointLayout.Meta ? "*.pth" : "*.safetensors");
        Assert.InRange(finished.Length, 2, 3);
        Assert.Single(Directory.GetFiles(_folder["resumed.partial"], "*.partial")); // the one that was being written

        var kept = CheckpointConverter.Convert(checkpoint, _folder["resumed"], options);

        Assert.Equal(finished.Length, kept);
        RequireSameFiles("whole", "resumed");
    }

    /// <summary>What is there is not believed: neither its name nor its age says what it holds.</summary>
    [Fact]
    public void Convert_FinishedFilesThatAreWrong_AreWrittenAgain()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var options = new ConversionOptions { Layout = CheckpointLayout.Meta, ShardCount = 4 };
        CheckpointConverter.Convert(checkpoint, _folder["whole"], options);
        Copy("whole", "resumed.partial");
        TurnABit(_folder[Path.Combine("resumed.partial", "consolidated.00.pth")], inAWeight: true);
        TurnABit(_folder[Path.Combine("resumed.partial", "consolidated.01.pth")], inAWeight: false);
        File.Copy(_folder[Path.Combine("whole", "consolidated.00.pth")], _folder[Path.Combine("resumed.partial", "consolidated.02.pth")], overwrite: true);
        File.WriteAllText(_folder[Path.Combine("resumed.partial", "consolidated.07.pth")], "of another number of shards");

        var kept = CheckpointConverter.Convert(checkpoint, _folder["resumed"], options);

        Assert.Equal(1, kept);
        RequireSameFiles("whole", "resumed");
    }

    [Fact]
    public void Convert_FolderOfSomebodyElse_IsNotTouched()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        Directory.CreateDirectory(_folder["out.partial"]);
        File.WriteAllText(_folder[Path.Combine("out.partial", "thesis.txt")], "");

        var error = Assert.Throws<CheckpointException>(() => CheckpointConverter.Convert(
            checkpoint, _folder["out"], new() { Layout = CheckpointLayout.Meta }));

        Assert.Contains("out.partial holds 'thesis.txt', which no conversion writes", error.Message, StringComparison.Ordinal);
        Assert.Single(Directory.GetFileSystemEntries(_folder["out.partial"]));
    }

    [Fact]
    public void Convert_TwoAtOnce_SecondIsRefused()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        var options = new ConversionOptions { Layout = CheckpointLayout.Meta };
        CheckpointException? refusal = null;

        CheckpointConverter.Convert(checkpoint, _folder["out"], options, new AtByte(1_000_000, () => refusal = Assert.Throws<CheckpointException>(
            () => CheckpointConverter.Convert(checkpoint, _folder["out"], options))));

        Assert.Contains("Another conversion is writing to", refusal?.Message, StringComparison.Ordinal);
        Assert.Equal(2, Directory.GetFiles(_folder["out"]).Length);
    }

    [Fact]
    public void Convert_CancelledOrExisting_LeavesNothing()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);
        using var cancelled = new CancellationTokenSource();
        var progress = new CancelAtHalf(cancelled);
        var options = new ConversionOptions { Layout = CheckpointLayout.HuggingFace };

        Assert.Throws<OperationCanceledException>(
            () => CheckpointConverter.Convert(checkpoint, _folder["out"], options, progress, cancelled.Token));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
        Directory.CreateDirectory(_folder["there"]);
        var error = Assert.Throws<CheckpointException>(() => CheckpointConverter.Convert(checkpoint, _folder["there"], options));
        Assert.Contains("exists; name a new folder", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Convert_ShardsThatDoNotDivide_AreRefused()
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);

        var error = Assert.Throws<CheckpointException>(
            () => CheckpointConverter.Convert(checkpoint, _folder["out"], new() { Layout = CheckpointLayout.Meta, ShardCount = 3 }));

        Assert.Contains("not divisible by its 3 shards", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(TensorType.BFloat16, 1.00390625f, 1f)] // a tie goes to even
    [InlineData(TensorType.BFloat16, 1.01171875f, 1.015625f)]
    [InlineData(TensorType.BFloat16, float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(TensorType.BFloat16, float.NaN, float.NaN)]
    [InlineData(TensorType.Float16, 1.00048828125f, 1f)]
    [InlineData(TensorType.Float16, 65520f, float.PositiveInfinity)]
    public unsafe void Fill_NarrowerType_RoundsToTheNearest(TensorType type, float value, float expected)
    {
        var source = new StoredTensor("w", TensorType.Float32, [1], TensorSplit.Replicated, [new MappedTensor("w", TensorType.Float32, [1], (nint)(&value))]);
        var bytes = new byte[2];
        new TensorPart(source, type, (0, 1), (0, 1)).Fill(0, bytes);
        var widened = new float[1];
        fixed (byte* data = bytes)
        {
            TensorElements.Widen(type, (nint)data, widened);
        }

        Assert.Equal(expected, widened[0]);
    }

    private void Convert(string source, string name, ConversionOptions options)
    {
        using var checkpoint = CheckpointFolder.Open(source, null);
        CheckpointConverter.Convert(checkpoint, _folder[name], options);
    }

    private static float[] Logits(string folder, int worldSize)
    {
        using var world = ModelWorld.Load(folder, ModelWorld.Options(), worldSize: worldSize);
        var command = new StepCommand();
        for (var position = 0; position < 20; position++)
        {
            command.AddToken((position * 13) % 60, 0, position);
        }

        command.AddOutput(19, detail: LogitsDetail.FullRow);
        return world.Leader.Run(command)[0].Row.ToArray();
    }

    private void Copy(string from, string to)
    {
        Directory.CreateDirectory(_folder[to]);
        foreach (var file in Directory.GetFiles(_folder[from]).Where(file => !file.EndsWith(".lock", StringComparison.Ordinal) && !file.EndsWith(".json", StringComparison.Ordinal)))
        {
            var copy = Path.Combine(_folder[to], Path.GetFileName(file));
            if (file.EndsWith(".partial", StringComparison.Ordinal))
            {
                File.WriteAllText(copy, "PK"); // its writer alone may read it
            }
            else
            {
                File.Copy(file, copy);
            }
        }
    }

    private void RequireSameFiles(string expected, string actual)
    {
        var names = Directory.GetFileSystemEntries(_folder[expected]).Select(path => Path.GetFileName(path)).Order().ToArray();
        Assert.Equal(names, Directory.GetFileSystemEntries(_folder[actual]).Select(path => Path.GetFileName(path)).Order());
        Assert.All(names, name => Assert.Equal(
            File.ReadAllBytes(Path.Combine(_folder[expected], name)), File.ReadAllBytes(Path.Combine(_folder[actual], name))));
        Assert.False(Directory.Exists(_folder[$"{actual}.partial"]));
    }

    // In a weight, or in the checksum of one: the last storage's in the directory at the end.
    private static void TurnABit(string path, bool inAWeight)
    {
        int offset;
        using (var file = ShardFile.Open(path))
        {
            var storage = ShardIndex.Read(file).Storages[^1];
            var crc = BitConverter.GetBytes(storage.Crc32);
            offset = inAWeight ? (int)storage.Offset : File.ReadAllBytes(path).AsSpan().LastIndexOf(crc);
        }

        var bytes = File.ReadAllBytes(path);
        bytes[offset] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    private sealed class AtByte(long at, Action action) : IProgress<(long Done, long Total)>
    {
        private bool _isDone;

        public void Report((long Done, long Total) value)
        {
            if (!_isDone && value.Done > at)
            {
                _isDone = true;
                action();
            }
        }
    }

    private sealed class CancelAtHalf(CancellationTokenSource source) : IProgress<(long Done, long Total)>
    {
        public void Report((long Done, long Total) value)
        {
            if (value.Done > value.Total / 2)
            {
                source.Cancel();
            }
        }
    }
}
