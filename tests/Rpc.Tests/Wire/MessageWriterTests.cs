using System.Buffers;
using Grpc.Core;
using Grpc.Wire;

namespace Distributed.Rpc.Tests.Wire;

public sealed class MessageWriterTests
{
    [Fact]
    public void Write_SizeAnnounced_PutsTheFrameIntoTheTarget()
    {
        var frame = Written((message, context) =>
        {
            context.SetPayloadLength(message.Length);
            context.GetBufferWriter().Write(message);
            context.Complete();
        });

        Assert.Equal([0, 0, 0, 0, 3, 7, 8, 9], frame);
    }

    [Fact]
    public void Write_SizeNotAnnounced_PutsTheSameFrame()
    {
        var frame = Written((message, context) =>
        {
            foreach (var value in message)
            {
                context.GetBufferWriter().Write([value]);
            }

            context.Complete();
        });

        Assert.Equal([0, 0, 0, 0, 3, 7, 8, 9], frame);
    }

    [Fact]
    public void Write_Array_PutsTheSameFrame()
        => Assert.Equal([0, 0, 0, 0, 3, 7, 8, 9], Written((message, context) => context.Complete(message)));

    [Fact]
    public void Write_OverTheLimit_LeavesTheTargetEmptyAndTheWriterUsable()
    {
        var target = new ArrayBufferWriter<byte>();
        var writer = new MessageWriter<byte[]>((message, context) => context.Complete(message), 2);

        var failure = Assert.Throws<RpcException>(() => writer.Write(target, [1, 2, 3]));
        Assert.False(writer.IsPartial);
        Assert.Equal(0, target.WrittenCount);
        writer.Write(target, [1, 2]);

        Assert.Equal(StatusCode.ResourceExhausted, failure.StatusCode);
        Assert.Equal([0, 0, 0, 0, 2, 1, 2], target.WrittenSpan.ToArray());
    }

    [Fact]
    public void Write_OverTheLimitWithoutAnnouncing_StopsAtTheLimit()
    {
        var target = new ArrayBufferWriter<byte>();
        var pieces = 0;
        var writer = new MessageWriter<byte[]>(
            (_, context) =>
            {
                while (true)
                {
                    context.GetBufferWriter().Write(new byte[10]);
                    pieces++;
                }
            },
            100);

        Assert.Equal(StatusCode.ResourceExhausted, Assert.Throws<RpcException>(() => writer.Write(target, [])).StatusCode);
        Assert.Equal(10, pieces);
        Assert.Equal(0, target.WrittenCount);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void Write_OtherSizeThanAnnounced_IsAPartialMessage(int announced)
    {
        var writer = new MessageWriter<byte[]>(
            (message, context) =>
            {
                context.SetPayloadLength(announced);
                context.GetBufferWriter().Write(message);
                context.Complete();
            },
            null);

        var failure = Assert.Throws<InvalidOperationException>(() => writer.Write(new ArrayBufferWriter<byte>(), [7, 8, 9]));

        Assert.Contains($"announced {announced} bytes and wrote 3", failure.Message, StringComparison.Ordinal);
        Assert.True(writer.IsPartial);
    }

    [Fact]
    public void Write_SerializerForgetsComplete_Throws()
    {
        var writer = new MessageWriter<byte[]>((_, _) => { }, null);

        Assert.Throws<InvalidOperationException>(() => writer.Write(new ArrayBufferWriter<byte>(), []));
        Assert.False(writer.IsPartial);
    }

    [Fact]
    public void PooledBuffer_Grown_KeepsWhatWasWritten()
    {
        var buffer = new PooledBuffer();
        byte[] expected = [.. Enumerable.Range(0, 5000).Select(value => (byte)value)];
        foreach (var piece in expected.Chunk(7))
        {
            buffer.Write(piece);
        }

        Assert.Equal(expected, buffer.WrittenSpan.ToArray());
        buffer.Clear();
        Assert.Equal(0, buffer.WrittenSpan.Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Advance(1));
    }

    private static byte[] Written(Action<byte[], SerializationContext> serializer)
    {
        var target = new PooledBuffer();
        new MessageWriter<byte[]>(serializer, 3).Write(target, [7, 8, 9]);
        return target.WrittenSpan.ToArray();
    }
}
