using System.Buffers.Binary;
using System.Text;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>Bytes of a safetensors file, right or wrong.</summary>
internal static class SafetensorsBuilder
{
    /// <summary>A file with this header and so many bytes of data behind it.</summary>
    public static byte[] File(string header, int dataByteCount, ulong? headerByteCount = null)
    {
        var text = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[sizeof(ulong) + text.Length + dataByteCount];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, headerByteCount ?? (ulong)text.Length);
        text.CopyTo(bytes, sizeof(ulong));
        for (var i = 0; i < dataByteCount; i++)
        {
            bytes[sizeof(ulong) + text.Length + i] = (byte)i;
        }

        return bytes;
    }

    public static string Tensor(string name, string type, string shape, long begin, long end)
        => $"\"{name}\":{{\"dtype\":\"{type}\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}";
}
