using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class MappedShardTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Shard => _folder["consolidated.00.pth"];

    [Fact]
    public void VerifyChecksums_EveryStorageDamagedInTurn_NamesTheTensor()
    {
        TinyCheckpoint.Write(_folder.Path);
        var intact = File.ReadAllBytes(Shard);
        TensorEntry[] tensors;
        using (var file = ShardFile.Open(Shard))
        {
            tensors = [.. ShardIndex.Read(file).Tensors.Values];
        }

        foreach (var tensor in tensors)
        {
            var bytes = intact.ToArray();
            bytes[tensor.Offset + (tensor.ByteCount / 2)] ^= 0x10;
            File.WriteAllBytes(Shard, bytes);
            using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
            using var shard = checkpoint.MapShard(0);

            var error = Assert.Throws<CheckpointException>(() => shard.VerifyChecksums(2, null, CancellationToken.None));

            Assert.Equal($"{Shard} is damaged: tensor '{tensor.Name}' does not match its checksum; download it again.", error.Message);
        }
    }

    [Fact]
    public void VerifyChecksums_TwoStoragesDamaged_NamesTheFirstInTheFile()
    {
        TinyCheckpoint.Write(_folder.Path);
        var bytes = File.ReadAllBytes(Shard);
        using (var file = ShardFile.Open(Shard))
        {
            var tensors = ShardIndex.Read(file).Tensors;
            bytes[tensors["layers.0.attention.wq.weight"].Offset] ^= 1;
            bytes[tensors["output.weight"].Offset] ^= 1;
        }

        File.WriteAllBytes(Shard, bytes);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using var shard = checkpoint.MapShard(0);

        for (var threads = 1; threads <= 4; threads++)
        {
            var error = Assert.Throws<CheckpointException>(() => shard.VerifyChecksums(threads, null, CancellationToken.None));
            Assert.Contains("'layers.0.attention.wq.weight'", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void VerifyChecksums_Intact_ReportsAllBytesOnce()
    {
        TinyCheckpoint.Write(_folder.Path);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using var shard = checkpoint.MapShard(0);
        var progress = new Progress();

        shard.VerifyChecksums(3, progress, CancellationToken.None);

        Assert.Equal(shard.ByteCount, progress.Reports.Max());
        Assert.Equal(progress.Reports.Count, progress.Reports.Distinct().Count());
    }

    [Fact]
    public void VerifyChecksums_Cancelled_Stops()
    {
        TinyCheckpoint.Write(_folder.Path);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using var shard = checkpoint.MapShard(0);
        using var cancellation = new CancellationTokenSource();
        var progress = new Progress { OnReport = cancellation.Cancel };

        Assert.ThrowsAny<OperationCanceledException>(() => shard.VerifyChecksums(1, progress, cancellation.Token));
        Assert.Single(progress.Reports);
    }

    [Fact]
    public void Map_FileWrittenSinceItWasOpened_IsRefused()
    {
        TinyCheckpoint.Write(_folder.Path);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        File.SetLastWriteTimeUtc(Shard, DateTime.UtcNow.AddMinutes(1));

        var error = Assert.Throws<CheckpointException>(() => checkpoint.MapShard(0));
        Assert.Contains("changed while it was loaded", error.Message, StringComparison.Ordinal);
    }

    /// <summary>The file stays the one that was validated, whatever its name means by now.</summary>
    [UnixFact]
    public void Map_NameGivenToAnotherFile_MapsTheValidatedOne()
    {
        TinyCheckpoint.Write(_folder.Path);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        File.WriteAllText(_folder["other"], "something else");
        File.Move(_folder["other"], Shard, overwrite: true);

        using var shard = checkpoint.MapShard(0);

        shard.VerifyChecksums(1, null, CancellationToken.None);
    }

    [UnixFact]
    public void Map_TruncatedSinceItWasOpened_IsRefused()
    {
        TinyCheckpoint.Write(_folder.Path);
        using var checkpoint = MetaCheckpoint.Open(_folder.Path, 12);
        using (var stream = new FileStream(Shard, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            stream.SetLength(stream.Length - 1);
        }

        Assert.Contains("changed while it was loaded", Assert.Throws<CheckpointException>(() => checkpoint.MapShard(0)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Indexer_AfterTheCheckpointIsGone_Works_AfterItsOwnEndThrows()
    {
        TinyCheckpoint.Write(_folder.Path);
        MappedShard shard;
        using (var checkpoint = MetaCheckpoint.Open(_folder.Path, 12))
        {
            shard = checkpoint.MapShard(0);
        }

        shard.VerifyChecksums(1, null, CancellationToken.None);
        Assert.Throws<KeyNotFoundException>(() => shard["layers.7.attention.wq.weight"]);
        shard.Dispose();
        shard.Dispose();
        Assert.Throws<ObjectDisposedException>(() => shard["norm.weight"]);
        Assert.Throws<ObjectDisposedException>(() => shard.VerifyChecksums(1, null, CancellationToken.None));
    }

    private sealed class Progress : IProgress<long>
    {
        private readonly Lock _lock = new();

        public List<long> Reports { get; } = [];

        public Action? OnReport { get; init; }

        public void Report(long value)
        {
            lock (_lock)
            {
                Reports.Add(value);
            }

            OnReport?.Invoke();
        }
    }
}
