using System.Buffers;

namespace Grpc.Core;

/// <summary>Where a serializer puts the bytes of one message: all at once, or through a buffer writer.</summary>
public abstract class SerializationContext
{
    /// <summary>The message is these bytes. They must stay as they are until the write has ended.</summary>
    public virtual void Complete(byte[] payload) => throw new NotSupportedException();

    /// <summary>The message has been written to the buffer writer.</summary>
    public virtual void Complete() => throw new NotSupportedException();

    /// <summary>The writer for this message. Where the size is known, call <see cref="SetPayloadLength"/> first: it saves a copy.</summary>
    public virtual IBufferWriter<byte> GetBufferWriter() => throw new NotSupportedException();

    /// <summary>Announces the size in bytes of what will be written.</summary>
    public virtual void SetPayloadLength(int payloadLength)
    {
    }
}
