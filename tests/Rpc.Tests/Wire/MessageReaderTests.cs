using System.Buffers.Binary;
using System.IO.Pipelines;
using Grpc.Core;
using Grpc.Wire;

namespace Distributed.Rpc.Tests.Wire;

public sealed class MessageReaderTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1000)]
    public async Task MoveNextAsync_BytesInPieces_CutsMessages(int pieceSize)
    {
        byte[][] messages = [[], [7], new byte[300], [1, 2, 3]];
        var pipe = new Pipe();
        var reader = Reader(pipe.Reader);
        var feed = Task.Run(async () =>
        {
            foreach (var piece in messages.SelectMany(message => Frame(message)).Chunk(pieceSize))
            {
                await pipe.Writer.WriteAsync(piece);
            }

            await pipe.Writer.CompleteAsync();
        });

        var received = new List<byte[]>();
        while (await reader.MoveNextAsync(CancellationToken.None).AsTask().DefaultTimeout())
        {
            received.Add(reader.Current);
        }

        Assert.Equal(messages, received);
        await feed.DefaultTimeout();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(9)]
    public async Task MoveNextAsync_BodyEndsInsideAMessage_IsInternal(int length)
    {
        var reader = await FedAsync(Frame([1, 2, 3, 4, 5])[..length]);

        var failure = await RpcFailureAsync(reader);

        Assert.Equal(StatusCode.Internal, failure.StatusCode);
        Assert.Contains($"{length} bytes", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MoveNextAsync_AtTheLimit_ReadsAndOneByteMoreIsRefused()
    {
        var fitting = await FedAsync(Frame(new byte[100]), limit: 100);
        var tooLarge = await FedAsync(Frame(new byte[101]), limit: 100);

        Assert.True(await fitting.MoveNextAsync(CancellationToken.None));
        var failure = await RpcFailureAsync(tooLarge);

        Assert.Equal(StatusCode.ResourceExhausted, failure.StatusCode);
        Assert.Contains("101 bytes is over the limit of 100 bytes", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MoveNextAsync_LengthOverAnyArray_IsRefusedWithoutALimit()
    {
        var reader = await FedAsync([0, 0xff, 0xff, 0xff, 0xff, 1, 2], limit: null);

        var failure = await RpcFailureAsync(reader);

        Assert.Equal(StatusCode.ResourceExhausted, failure.StatusCode);
        Assert.Contains("4294967295 bytes", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MoveNextAsync_LengthIsAGibibyte_NothingIsAllocatedForIt()
    {
        var body = new byte[1000];
        BinaryPrimitives.WriteInt32BigEndian(body.AsSpan(1), 1 << 30);
        var reader = await FedAsync(body, limit: null);

        var before = GC.GetAllocatedBytesForCurrentThread();
        var read = reader.MoveNextAsync(CancellationToken.None);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.InRange(allocated, 0, 100_000);
        Assert.Equal(StatusCode.Internal, (await Assert.ThrowsAsync<RpcException>(() => read.AsTask())).StatusCode);
    }

    [Theory]
    [InlineData(1, "compressed")]
    [InlineData(2, "flag 2")]
    [InlineData(255, "flag 255")]
    public async Task MoveNextAsync_UnknownFlag_IsInternal(byte flag, string word)
    {
        var reader = await FedAsync([flag, 0, 0, 0, 0]);

        var failure = await RpcFailureAsync(reader);

        Assert.Equal(StatusCode.Internal, failure.StatusCode);
        Assert.Contains(word, failure.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MoveNextAsync_DeserializerThrows_IsInternalAndTheStreamGoesOn()
    {
        var pipe = new Pipe();
        await pipe.Writer.WriteAsync((byte[])[.. Frame([1]), .. Frame([2])]);
        var reader = new MessageReader<byte[]>(
            pipe.Reader, context => context.PayloadAsNewBuffer() is [1] ? throw new FormatException("bad one") : [9], null);

        var failure = await RpcFailureAsync(reader);

        Assert.Equal(StatusCode.Internal, failure.StatusCode);
        Assert.Contains("bad one", failure.Status.Detail, StringComparison.Ordinal);
        Assert.True(await reader.MoveNextAsync(CancellationToken.None));
        Assert.Equal([9], reader.Current);
    }

    [Fact]
    public async Task MoveNextAsync_PipeReadIsCancelled_Throws()
    {
        var pipe = new Pipe();
        var read = Reader(pipe.Reader).MoveNextAsync(CancellationToken.None);

        pipe.Reader.CancelPendingRead();

        await Assert.ThrowsAsync<OperationCanceledException>(() => read.AsTask().DefaultTimeout());
    }

    internal static byte[] Frame(byte[] payload, byte flag = 0)
    {
        var frame = new byte[5 + payload.Length];
        frame[0] = flag;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), payload.Length);
        payload.CopyTo(frame, 5);
        return frame;
    }

    private static MessageReader<byte[]> Reader(PipeReader pipe, int? limit = 1000)
        => new(pipe, context => context.PayloadAsNewBuffer(), limit);

    private static async Task<MessageReader<byte[]>> FedAsync(byte[] body, int? limit = 1000)
    {
        var pipe = new Pipe();
        await pipe.Writer.WriteAsync(body);
        await pipe.Writer.CompleteAsync();

        return Reader(pipe.Reader, limit);
    }

    private static Task<RpcException> RpcFailureAsync(MessageReader<byte[]> reader)
        => Assert.ThrowsAsync<RpcException>(() => reader.MoveNextAsync(CancellationToken.None).AsTask().DefaultTimeout());
}
