using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// Whether a file of an interrupted conversion is what the conversion would write now: read with the checks of loading and compared with
/// the source byte for byte, so that nothing has to be believed of it, neither its age nor what it was made of.
/// </summary>
internal static class FinishedFile
{
    private const int BufferByteCount = 1 << 20;

    /// <summary>Compares it, with two buffers of 1 MiB.</summary>
    /// <param name="path">The file; it may be missing.</param>
    /// <param name="tensors">What it should hold, in this order.</param>
    /// <param name="layout">Of which layout it is.</param>
    /// <param name="cancellationToken">Looked at between buffers.</param>
    public static bool IsRight(string path, IReadOnlyList<ShardTensor> tensors, CheckpointLayout layout, CancellationToken cancellationToken)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            using var file = ShardFile.Open(path);
            var index = layout == CheckpointLayout.Meta ? ShardIndex.Read(file) : null;
            var found = index?.Tensors ?? SafetensorsIndex.Read(file).Tensors;
            var (expected, actual) = (new byte[BufferByteCount], new byte[BufferByteCount]);
            return found.Count == tensors.Count && tensors.All(tensor =>
                found.TryGetValue(tensor.Name, out var entry)
                && IsOfShape(entry, tensor)
                && Crc32Of(file, entry, tensor, expected, actual, cancellationToken) is { } crc
                && (index is null || index.Storages.Any(storage => storage.Offset == entry.Offset && storage.Crc32 == crc)));
        }
        catch (CheckpointException)
        {
            return false; // cut or damaged: written again
        }
    }

    private static bool IsOfShape(TensorEntry entry, ShardTensor tensor)
        => entry.Type == StorageType.Of(tensor.Type) && entry.Shape.AsSpan().SequenceEqual(tensor.Shape.AsSpan());

    // The checksum of the tensor's bytes; null where the file has other ones than the source.
    private static uint? Crc32Of(
        ShardFile file, TensorEntry entry, ShardTensor tensor, byte[] expected, byte[] actual, CancellationToken cancellationToken)
    {
        uint crc = 0;
        for (long done = 0; done < entry.ByteCount; done += BufferByteCount)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = (int)Math.Min(BufferByteCount, entry.ByteCount - done);
            tensor.Fill(done, expected.AsSpan(0, count));
            file.Read(entry.Offset + done, actual.AsSpan(0, count));
            if (!actual.AsSpan(0, count).SequenceEqual(expected.AsSpan(0, count)))
            {
                return null;
            }

            crc = Crc32.Append(crc, expected.AsSpan(0, count));
        }

        return crc;
    }
}
