using System.Buffers.Binary;
using Distributed.Collectives.Hosting.Http2;
using Distributed.Protos;
using Google.Protobuf;

namespace Distributed.Collectives.Tests.Http2;

/// <summary>What the server does with frames that no client should send, and with those that few do.</summary>
public sealed class ProtocolTests
{
    private const FrameFlags End = FrameFlags.EndHeaders;

    public static TheoryData<string, uint> Breaches => new()
    {
        { "data before the call", 1 },
        { "a data frame over the limit", 6 },
        { "padding longer than its frame", 1 },
        { "data of another stream", 1 },
        { "a continuation of nothing", 1 },
        { "something between the pieces of a header block", 1 },
        { "header fields that are none", 9 },
        { "a header block without an end", 11 },
        { "settings of five bytes", 6 },
        { "a ping of seven bytes", 6 },
        { "a frame size that is not permitted", 1 },
        { "a window that is not permitted", 3 },
        { "a continuation on another stream", 1 },
        { "a continuation that brings nothing", 1 },
        { "a window opened by nothing", 1 },
        { "a window opened too far", 3 },
        { "a promise", 1 },
        { "a large frame that is not data", 6 },
    };

    [Theory]
    [MemberData(nameof(Breaches))]
    public async Task Server_ThatIsSentWhatIsNotPermitted_SaysSoAndTakesTheNextCall(string breach, uint code)
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using (var client = await RawConnection.OpenAsync(host.Path))
        {
            await BreachAsync(client, breach);
            var goAway = await client.ReadAsync(FrameType.GoAway);
            Assert.Equal(code, BinaryPrimitives.ReadUInt32BigEndian(goAway!.Value.Payload.AsSpan(4)));
            Assert.Null(await client.ReadAsync());
        }

        await EchoAsync(host);
    }

    [Fact]
    public async Task Server_ThatIsPinged_AnswersWhetherThereIsACallOrNot()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using var client = await RawConnection.OpenAsync(host.Path);
        await client.SendAsync(FrameType.Ping, FrameFlags.None, 0, 1, 2, 3, 4, 5, 6, 7, 8);
        var (header, payload) = (await client.ReadAsync(FrameType.Ping))!.Value;
        Assert.True(header.Has(FrameFlags.EndOrAnswer));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], payload);
        await client.SendAsync(FrameType.Headers, End, 1, RawConnection.Head());
        await client.SendAsync(FrameType.Ping, FrameFlags.None, 0, 8, 7, 6, 5, 4, 3, 2, 1);
        Assert.Equal([8, 7, 6, 5, 4, 3, 2, 1], (await client.ReadAsync(FrameType.Ping))!.Value.Payload);
    }

    [Fact]
    public async Task Server_OfACallInPieces_PutsThemTogether()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using var client = await RawConnection.OpenAsync(host.Path);
        var head = RawConnection.Head();

        // Padded, with a priority, and continued twice; then a message byte by byte, every other one padded.
        await client.SendAsync(FrameType.Headers, FrameFlags.Padded | FrameFlags.HasPriority, 5, [3, 0, 0, 0, 0, 15, .. head[..10], 0, 0, 0]);
        await client.SendAsync(FrameType.Continuation, FrameFlags.None, 5, head[10..20]);
        await client.SendAsync(FrameType.Continuation, End, 5, head[20..]);
        byte[] message = [0, 0, 0, 0, 2, 0x2A, 0];
        for (var i = 0; i < message.Length; i++)
        {
            await client.SendAsync(FrameType.Data, i % 2 == 0 ? FrameFlags.Padded : FrameFlags.None, 5, i % 2 == 0 ? [2, message[i], 0, 0] : [message[i]]);
        }

        var (header, payload) = (await client.ReadAsync(FrameType.Data))!.Value;
        Assert.Equal(5, header.Stream);
        Assert.Equal(message, payload);
        await client.SendAsync(FrameType.Data, FrameFlags.EndOrAnswer | FrameFlags.Padded, 5, 0);
        Assert.True((await client.ReadAsync(FrameType.Headers))!.Value.Header.Has(FrameFlags.EndOrAnswer));
        Assert.NotNull(await client.ReadAsync(FrameType.GoAway)); // without an error
    }

    [Fact]
    public async Task Server_WhoseClientOpensAWindowBitByBit_SendsNoMoreThanItMay()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using var client = await RawConnection.OpenAsync(host.Path, 0, 4, 0, 0, 0, 10); // ten bytes of each stream
        await client.SendAsync(FrameType.Headers, End, 1, RawConnection.Head());
        var frame = new PeerFrame { Segment = new Protos.Segment { Payload = ByteString.CopyFrom(new byte[40]) } }.ToByteArray();
        await client.SendAsync(FrameType.Data, FrameFlags.None, 1, [0, 0, 0, 0, (byte)frame.Length, .. frame]);
        byte[] got = (await client.ReadAsync(FrameType.Data))!.Value.Payload;
        Assert.Equal(10, got.Length);
        while (got.Length < frame.Length + 5)
        {
            await client.SendAsync(FrameType.WindowUpdate, FrameFlags.None, 1, 0, 0, 0, 7);
            var more = (await client.ReadAsync(FrameType.Data))!.Value.Payload;
            Assert.InRange(more.Length, 1, 7);
            got = [.. got, .. more];
        }

        Assert.Equal([0, 0, 0, 0, (byte)frame.Length, .. frame], got);
    }

    [Fact]
    public async Task Server_OfASecondCallOnAConnection_RefusesItAndGoesOnWithTheFirst()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using var client = await RawConnection.OpenAsync(host.Path);
        await client.SendAsync(FrameType.Headers, End, 1, RawConnection.Head());
        await client.SendAsync(FrameType.Headers, End | FrameFlags.EndOrAnswer, 3, RawConnection.Head());
        await client.SendAsync(FrameType.Data, FrameFlags.None, 1, 0, 0, 0, 0, 0);
        var (header, payload) = (await client.ReadAsync(FrameType.ResetStream))!.Value;
        Assert.Equal(3, header.Stream);
        Assert.Equal(7u, BinaryPrimitives.ReadUInt32BigEndian(payload)); // refused
        Assert.Equal([0, 0, 0, 0, 0], (await client.ReadAsync(FrameType.Data))!.Value.Payload);
    }

    [Fact]
    public async Task Server_ThatIsAskedAndNotRead_EndsTheConnection()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        using (var client = await RawConnection.OpenAsync(host.Path))
        {
            // Each ping wants an answer; nobody reads them, and after some thousands the server reads no more.
            var isOver = false;
            for (var i = 0; i < 1_000_000 && !isOver; i++)
            {
                isOver = !await client.TrySendAsync(FrameType.Ping, FrameFlags.None, 0, new byte[8]);
            }

            Assert.True(isOver);
        }

        await EchoAsync(host);
    }

    [Fact]
    public async Task Server_FedWithRandomFrames_TakesTheNextCall()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false);
        var random = new Random(11);
        for (var i = 0; i < 50; i++)
        {
            using var client = await RawConnection.OpenAsync(host.Path);
            if (i % 2 == 0)
            {
                await client.SendAsync(FrameType.Headers, End, 1, RawConnection.Head());
            }

            for (var j = 0; j < 20; j++)
            {
                var payload = new byte[random.Next(60)];
                random.NextBytes(payload);
                await client.SendAsync((FrameType)random.Next(11), (FrameFlags)random.Next(64), random.Next(4), payload);
            }
        }

        await EchoAsync(host);
    }

    private static async Task BreachAsync(RawConnection client, string breach)
    {
        var head = RawConnection.Head();
        var (type, flags, stream, payload) = breach switch
        {
            "data before the call" => (FrameType.Data, FrameFlags.None, 1, new byte[1]),
            "a continuation of nothing" => (FrameType.Continuation, End, 1, head),
            "header fields that are none" => (FrameType.Headers, End, 1, [0x80]),
            "settings of five bytes" => (FrameType.Settings, FrameFlags.None, 0, new byte[5]),
            "a ping of seven bytes" => (FrameType.Ping, FrameFlags.None, 0, new byte[7]),
            "a frame size that is not permitted" => (FrameType.Settings, FrameFlags.None, 0, [0, 5, 0, 0, 0, 1]),
            "a window that is not permitted" => (FrameType.Settings, FrameFlags.None, 0, [0, 4, 255, 255, 255, 255]),
            "a window opened by nothing" => (FrameType.WindowUpdate, FrameFlags.None, 0, new byte[4]),
            "a window opened too far" => (FrameType.WindowUpdate, FrameFlags.None, 0, [127, 255, 255, 255]),
            "a promise" => (FrameType.PushPromise, End, 1, new byte[8]),
            "a large frame that is not data" => (FrameType.Ping, FrameFlags.None, 0, new byte[10_000]),
            "something between the pieces of a header block" or "a continuation on another stream" or "a continuation that brings nothing"
                => (FrameType.Headers, FrameFlags.None, 1, head[..5]),
            "a header block without an end" => (FrameType.Headers, FrameFlags.None, 1, new byte[8000]),
            _ => (FrameType.Headers, End, 1, head),
        };
        await client.SendAsync(type, flags, stream, payload);
        await (breach switch
        {
            "a data frame over the limit" => client.SendAsync(FrameType.Data, FrameFlags.None, 1, new byte[CallConnection.MaxFrameSize + 1]),
            "padding longer than its frame" => client.SendAsync(FrameType.Data, FrameFlags.Padded, 1, 9, 0, 0),
            "data of another stream" => client.SendAsync(FrameType.Data, FrameFlags.None, 3, 0),
            "something between the pieces of a header block" => client.SendAsync(FrameType.Ping, FrameFlags.None, 0, new byte[8]),
            "a continuation on another stream" => client.SendAsync(FrameType.Continuation, End, 3, head[5..]),
            "a continuation that brings nothing" => client.SendAsync(FrameType.Continuation, FrameFlags.None, 1),
            "a header block without an end" => client.SendAsync(FrameType.Continuation, FrameFlags.None, 1, new byte[8000]),
            _ => Task.CompletedTask,
        });
    }

    private static async Task EchoAsync(EchoHost host)
    {
        using var channel = host.OpenChannel(isPlatform: false);
        using var call = new Peer.PeerClient(channel).Connect();
        await call.RequestStream.WriteAsync(new PeerFrame { Leave = new Leave() }).DefaultTimeout();
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
    }
}
