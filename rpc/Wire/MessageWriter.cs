using System.Buffers;
using System.Buffers.Binary;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>
/// Writes messages with their header into a buffer writer, one at a time. A serializer that announces its size writes straight into the
/// target; the bytes of any other are collected first, since the header with the length comes before them.
/// </summary>
/// <param name="serializer">Turns a message into bytes.</param>
/// <param name="maxByteCount">The largest payload that is sent; null sets no limit.</param>
internal sealed class MessageWriter<T>(Action<T, SerializationContext> serializer, int? maxByteCount)
    : SerializationContext, IBufferWriter<byte>
{
    private const int HeaderSize = MessageReader<string>.HeaderSize;
    private const int Unknown = -1;

    private readonly PooledBuffer _collected = new();
    private IBufferWriter<byte>? _target;
    private int _announced;
    private int _written;
    private bool _complete;

    /// <summary>True where the last write failed within a message, so that the target holds a part of it.</summary>
    public bool IsPartial => _announced != Unknown && !_complete;

    /// <summary>Writes one message; nothing is written where its size is over the limit.</summary>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: over the limit.</exception>
    /// <exception cref="InvalidOperationException">The serializer broke its contract; the target may hold part of a message.</exception>
    public void Write(IBufferWriter<byte> target, T message)
    {
        _target = target;
        _announced = Unknown;
        _written = 0;
        _complete = false;
        try
        {
            serializer(message, this);
            if (!_complete)
            {
                throw new InvalidOperationException($"The serializer of {typeof(T).Name} returned without calling Complete.");
            }
        }
        finally
        {
            _target = null;
            _collected.Clear();
        }
    }

    public override void SetPayloadLength(int payloadLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(payloadLength);
        if (_announced != Unknown || _written > 0)
        {
            throw new InvalidOperationException("The payload length must be set once, before anything is written.");
        }

        WriteHeader(payloadLength);
        _announced = payloadLength;
    }

    public override IBufferWriter<byte> GetBufferWriter() => this;

    public override void Complete()
    {
        if (_announced == Unknown)
        {
            WriteHeader(_written);
            Target.Write(_collected.WrittenSpan);
        }
        else if (_written != _announced)
        {
            throw new InvalidOperationException(
                $"The serializer of {typeof(T).Name} announced {_announced} bytes and wrote {_written}; was the message changed meanwhile?");
        }

        _complete = true;
    }

    public override void Complete(byte[] payload)
    {
        ArgumentNullException.ThrowIfNull(payload);
        SetPayloadLength(payload.Length);
        Target.Write(payload);
        _complete = true;
    }

    void IBufferWriter<byte>.Advance(int count)
    {
        _written = checked(_written + count);
        if (_announced == Unknown)
        {
            CheckLimit(_written);
        }

        Writer.Advance(count);
    }

    Memory<byte> IBufferWriter<byte>.GetMemory(int sizeHint) => Writer.GetMemory(sizeHint);

    Span<byte> IBufferWriter<byte>.GetSpan(int sizeHint) => Writer.GetSpan(sizeHint);

    private IBufferWriter<byte> Target
        => _target ?? throw new InvalidOperationException("A serialization context must not be used after its message.");

    private IBufferWriter<byte> Writer => _announced == Unknown ? _collected : Target;

    private void WriteHeader(int byteCount)
    {
        CheckLimit(byteCount);
        if (Target is PooledBuffer buffer)
        {
            buffer.Reserve(checked(HeaderSize + byteCount));
        }

        var header = Target.GetSpan(HeaderSize);
        header[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(header[1..], byteCount);
        Target.Advance(HeaderSize);
    }

    private void CheckLimit(int byteCount)
    {
        if (byteCount > maxByteCount)
        {
            throw new RpcException(new Status(
                StatusCode.ResourceExhausted,
                $"A message to send of {byteCount} bytes is over the limit of {maxByteCount} bytes; send less at once or raise MaxSendMessageSize."));
        }
    }
}
