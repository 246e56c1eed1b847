using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>Writes one safetensors file: its header, padded so that tensors begin at a multiple of 8, and the tensors in order.</summary>
internal static class SafetensorsWriter
{
    private const int BufferByteCount = 1 << 20;

    /// <summary>Writes a file and brings it to the disk; it appears under its name when it is whole.</summary>
    /// <param name="path">Replaced where it exists, once all is written.</param>
    /// <param name="tensors">In the order in which the file will have them.</param>
    /// <param name="cancellationToken">Looked at between buffers of 1 MiB.</param>
    /// <exception cref="IOException">The disk is full or the folder may not be written to.</exception>
    public static void Write(string path, IReadOnlyList<ShardTensor> tensors, CancellationToken cancellationToken)
        => LargePageWriter.Write(path, file => WriteContent(file, tensors, cancellationToken));

    /// <summary>Bytes of a tensor in the file.</summary>
    public static long ByteCountOf(ShardTensor tensor) => checked(tensor.ElementCount * StorageType.Of(tensor.Type).ItemByteCount);

    private static void WriteContent(LargePageWriter file, IReadOnlyList<ShardTensor> tensors, CancellationToken cancellationToken)
    {
        var header = Header(tensors);
        Span<byte> length = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        file.Append(length);
        file.Append(header);
        var buffer = new byte[BufferByteCount];
        foreach (var tensor in tensors)
        {
            var byteCount = ByteCountOf(tensor);
            for (long done = 0; done < byteCount; done += BufferByteCount)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var part = buffer.AsSpan(0, (int)Math.Min(BufferByteCount, byteCount - done));
                tensor.Fill(done, part);
                file.Append(part);
            }
        }
    }

    private static byte[] Header(IReadOnlyList<ShardTensor> tensors)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt");
            json.WriteEndObject();
            long offset = 0;
            foreach (var tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", StorageType.Of(tensor.Type).SafetensorsName);
                WriteNumbers(json, "shape", tensor.Shape);
                WriteNumbers(json, "data_offsets", [offset, offset + ByteCountOf(tensor)]);
                json.WriteEndObject();
                offset += ByteCountOf(tensor);
            }

            json.WriteEndObject();
        }

        var padded = new byte[(bytes.WrittenCount + 7) & ~7];
        padded.AsSpan().Fill((byte)' ');
        bytes.WrittenSpan.CopyTo(padded);
        return padded;
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IEnumerable<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (var number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }
}
