namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Writes one <c>consolidated.NN.pth</c> as torch.save does: a zip container of stored members, a pickle of protocol 2, storages aligned
/// to 64 bytes. torch.load reads it (also with <c>weights_only=True</c> and <c>mmap=True</c>), and so does <see cref="MetaCheckpoint"/>.
/// </summary>
public static class MetaShardWriter
{
    /// <summary>All the memory that a tensor of any size takes.</summary>
    private const int BufferByteCount = 1 << 20;

    /// <summary>Writes a shard; where it fails, what stood under the name before still does.</summary>
    /// <param name="path">Replaced where it exists, once all is written.</param>
    /// <param name="tensors">In the order in which the file will have them.</param>
    /// <param name="cancellationToken">Looked at between buffers of 1 MiB.</param>
    /// <exception cref="IOException">The disk is full or the folder may not be written to.</exception>
    public static void Write(string path, IReadOnlyList<ShardTensor> tensors, CancellationToken cancellationToken)
    {
        if (tensors.FirstOrDefault(tensor => tensor.Shape.IsDefaultOrEmpty || tensor.Shape.Any(extent => extent < 1)) is { } empty)
        {
            throw new ArgumentException($"Tensor '{empty.Name}' needs extents of at least 1.", nameof(tensors));
        }

        LargePageWriter.Write(path, file => WriteContainer(file, Path.GetFileNameWithoutExtension(path), tensors, cancellationToken));
    }

    private static void WriteContainer(
        LargePageWriter file, string folder, IReadOnlyList<ShardTensor> tensors, CancellationToken cancellationToken)
    {
        var zip = new ZipWriter(file);
        var buffer = new byte[BufferByteCount];
        WriteSmall(zip, $"{folder}/data.pkl", PickleWriter.StateDict(tensors));
        WriteSmall(zip, $"{folder}/byteorder", "little"u8);
        for (var number = 0; number < tensors.Count; number++)
        {
            var tensor = tensors[number];
            var byteCount = checked(tensor.ElementCount * StorageType.Of(tensor.Type).ItemByteCount);
            zip.Begin($"{folder}/data/{number}", byteCount);
            for (long done = 0; done < byteCount; done += BufferByteCount)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var part = buffer.AsSpan(0, (int)Math.Min(BufferByteCount, byteCount - done));
                tensor.Fill(done, part);
                zip.Write(part);
            }

            zip.End();
        }

        WriteSmall(zip, $"{folder}/version", "3\n"u8);
        zip.Finish();
    }

    private static void WriteSmall(ZipWriter zip, string name, ReadOnlySpan<byte> bytes)
    {
        zip.Begin(name, bytes.Length);
        zip.Write(bytes);
        zip.End();
    }
}
