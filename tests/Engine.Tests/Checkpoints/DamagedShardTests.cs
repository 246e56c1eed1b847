using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>A written shard, cut or with a bit turned: refused, or the same tensors to the last bit.</summary>
public sealed class DamagedShardTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ShardProbe _probe = new();
    private readonly byte[] _intact;
    private readonly SortedDictionary<string, string> _tensors;

    public DamagedShardTests()
    {
        TinyCheckpoint.WriteShard(_folder.Path, 0, TinyCheckpoint.Tensors(0, 1, EmbeddingLayout.Whole).Take(7));
        _intact = File.ReadAllBytes(_folder["consolidated.00.pth"]);
        _tensors = _probe.Read(_intact).Tensors!;
    }

    public void Dispose()
    {
        _folder.Dispose();
        _probe.Dispose();
    }

    [Fact]
    public void Read_CutAnywhere_IsRefused()
    {
        for (var length = 0; length < _intact.Length; length++)
        {
            Assert.True(_probe.Read(_intact.AsSpan(0, length)).Refusal is not null, $"Read with {length} of {_intact.Length} bytes.");
        }
    }

    /// <summary>
    /// One bit of every byte but those of the weights, whose own checksums are a matter of <see cref="MappedShardTests"/>.
    /// </summary>
    [Fact]
    public void Read_OneBitTurned_IsRefusedOrTheSame()
    {
        var refused = 0;
        var headers = Headers().ToArray();
        foreach (var index in headers)
        {
            var bytes = _intact.ToArray();
            bytes[index] ^= (byte)(1 << (index % 8));

            var (tensors, refusal) = _probe.Read(bytes);

            Assert.True(refusal is not null || tensors!.SequenceEqual(_tensors), $"Byte {index}: read, with other tensors.");
            refused += refusal is null ? 0 : 1;
        }

        Assert.True(refused > headers.Length / 3, $"{refused} of {headers.Length} refused.");
    }

    [Fact]
    public void Read_RandomBytesOverwritten_IsRefusedOrTheSame()
    {
        var random = new Random(99);
        var headers = Headers().ToArray();
        for (var number = 0; number < 3000; number++)
        {
            var bytes = _intact.ToArray();
            for (var count = random.Next(1, 5); count > 0; count--)
            {
                bytes[headers[random.Next(headers.Length)]] = (byte)random.Next(256);
            }

            var (tensors, refusal) = _probe.Read(bytes);
            Assert.True(refusal is not null || tensors!.SequenceEqual(_tensors));
        }
    }

    /// <summary>Indexes of all bytes that are no weights.</summary>
    private IEnumerable<int> Headers()
    {
        using var file = ShardFile.Open(_folder["consolidated.00.pth"]);
        var storages = ShardIndex.Read(file).Storages;
        return Enumerable.Range(0, _intact.Length)
            .Where(index => !storages.Any(storage => index >= storage.Offset && index < storage.Offset + storage.ByteCount));
    }
}
