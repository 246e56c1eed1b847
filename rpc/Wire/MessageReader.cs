using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>
/// Cuts a body into messages. A message on the wire is a flag byte (1: compressed), a length of four bytes, big endian, and the payload.
/// The payload is parsed where it lies in the pipe. A length is checked before anything is done with it, and memory grows only with the
/// bytes that have arrived.
/// </summary>
/// <param name="pipe">The body.</param>
/// <param name="deserializer">Turns a payload into a message; it must not keep the sequence.</param>
/// <param name="maxByteCount">The largest payload that is accepted; null accepts what an array can hold.</param>
internal sealed class MessageReader<T>(PipeReader pipe, Func<DeserializationContext, T> deserializer, int? maxByteCount)
    where T : class
{
    public const int HeaderSize = 5;

    private readonly Payload _payload = new();
    private T? _current;

    /// <summary>The message that was read last.</summary>
    public T Current => _current ?? throw new InvalidOperationException("No message has been read.");

    /// <summary>Reads the next message; false at the end of the body.</summary>
    /// <exception cref="RpcException">The message is too large, compressed, cut off or malformed.</exception>
    /// <exception cref="OperationCanceledException">The read was cancelled by the token or by the pipe.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var result = await pipe.ReadAsync(cancellationToken);
            var buffer = result.Buffer;
            if (TryCut(buffer, out var payload))
            {
                Deserialize(payload);
                return true;
            }

            if (result.IsCompleted || result.IsCanceled)
            {
                pipe.AdvanceTo(buffer.End);
                return result.IsCanceled ? throw new OperationCanceledException("The read was cancelled.")
                    : buffer.IsEmpty ? false
                    : throw Fail(StatusCode.Internal, $"The body ended inside a message, {buffer.Length} bytes after its start.");
            }

            pipe.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    private int MaxByteCount => maxByteCount ?? Array.MaxLength;

    private void Deserialize(ReadOnlySequence<byte> payload)
    {
        try
        {
            _payload.Bytes = payload;
            _current = deserializer(_payload);
        }
        catch (Exception failure) when (failure is not RpcException)
        {
            throw new RpcException(new Status(StatusCode.Internal, $"A message of {payload.Length} bytes is malformed: {failure.Message}", failure));
        }
        finally
        {
            _payload.Bytes = default;
            pipe.AdvanceTo(payload.End); // also after a failure: Kestrel goes on to drain the body
        }
    }

    private bool TryCut(ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> payload)
    {
        payload = default;
        if (buffer.Length < HeaderSize)
        {
            return false;
        }

        var reader = new SequenceReader<byte>(buffer);
        reader.TryRead(out var flag);
        reader.TryReadBigEndian(out int signed);
        var byteCount = unchecked((uint)signed);
        if (flag != 0 || byteCount > MaxByteCount)
        {
            pipe.AdvanceTo(buffer.Start);
            throw Refuse(flag, byteCount);
        }

        if (buffer.Length - HeaderSize < byteCount)
        {
            return false;
        }

        payload = buffer.Slice(HeaderSize, byteCount);
        return true;
    }

    private RpcException Refuse(byte flag, uint byteCount) => flag switch
    {
        0 => Fail(
            StatusCode.ResourceExhausted,
            $"A received message of {byteCount} bytes is over the limit of {MaxByteCount} bytes; " +
            "send less at once or raise MaxReceiveMessageSize."),
        1 => Fail(StatusCode.Internal, "A received message is compressed, but no grpc-encoding was declared."),
        _ => Fail(StatusCode.Internal, $"A received message begins with flag {flag}; the protocol knows 0 and 1. The stream is out of step."),
    };

    private static RpcException Fail(StatusCode code, string reason) => new(new Status(code, reason));

    private sealed class Payload : DeserializationContext
    {
        public ReadOnlySequence<byte> Bytes { get; set; }

        public override int PayloadLength => (int)Bytes.Length;

        public override byte[] PayloadAsNewBuffer() => Bytes.ToArray();

        public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => Bytes;
    }
}
