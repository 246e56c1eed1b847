using System.Net;
using System.Net.Http.Headers;
using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Distributed.Rpc.Tests.Wire;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>The server against requests that no proper client sends.</summary>
public sealed class RawRequestTests
{
    private const string Unary = "/grpc.testing.TestService/UnaryCall";

    [Theory]
    [InlineData("gzip", 1)]
    [InlineData("gzip", 0)]
    [InlineData("snappy", 0)]
    public async Task Request_WithAnotherEncoding_IsUnimplementedAndNamesTheAcceptedOne(string encoding, byte flag)
    {
        await using var host = await RpcHost.StartAsync();

        using var response = await SendAsync(host, MessageReaderTests.Frame([], flag), ("grpc-encoding", encoding));

        Assert.Equal(StatusCode.Unimplemented, StatusOf(response));
        Assert.Equal("identity", Assert.Single(response.Headers.GetValues("grpc-accept-encoding")));
    }

    [Fact]
    public async Task Request_WithIdentityEncoding_IsServed()
    {
        await using var host = await RpcHost.StartAsync();

        using var response = await SendAsync(host, MessageReaderTests.Frame([]), ("grpc-encoding", "identity"));

        Assert.Equal(StatusCode.OK, StatusOf(response));
    }

    public static TheoryData<string, byte[], StatusCode> BrokenBodies => new()
    {
        { "no message", [], StatusCode.Internal },
        { "two messages", [.. MessageReaderTests.Frame([]), .. MessageReaderTests.Frame([])], StatusCode.Internal },
        { "half a header", [0, 0], StatusCode.Internal },
        { "half a message", [0, 0, 0, 0, 9, 1], StatusCode.Internal },
        { "compressed without an encoding", MessageReaderTests.Frame([], 1), StatusCode.Internal },
        { "unknown flag", MessageReaderTests.Frame([], 77), StatusCode.Internal },
        { "no protobuf", MessageReaderTests.Frame([0xff, 0xff, 0xff]), StatusCode.Internal },
        { "length of 4 GiB", [0, 0xff, 0xff, 0xff, 0xff], StatusCode.ResourceExhausted },
    };

    [Theory, MemberData(nameof(BrokenBodies))]
    public async Task Request_BrokenBody_IsAStatusAndTheServerLives(string what, byte[] body, StatusCode expected)
    {
        Assert.NotEmpty(what);
        await using var host = await RpcHost.StartAsync();

        using var response = await SendAsync(host, body);

        Assert.Equal(expected, StatusOf(response));
        using var next = await SendAsync(host, MessageReaderTests.Frame([]));
        Assert.Equal(StatusCode.OK, StatusOf(next));
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Request_MalformedTimeout_IsInternal()
    {
        await using var host = await RpcHost.StartAsync();

        using var response = await SendAsync(host, MessageReaderTests.Frame([]), ("grpc-timeout", "5 minutes"));

        Assert.Equal(StatusCode.Internal, StatusOf(response));
        Assert.Contains("'5 minutes'", response.Headers.GetValues("grpc-message").Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deadline_HandlerIgnoresIt_ServerAnswersAllTheSame()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            Unary = async (_, _) =>
            {
                await release.Task;
                return new SimpleResponse();
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);

        using var response = await SendAsync(host, MessageReaderTests.Frame([]), ("grpc-timeout", "100m"));

        Assert.Equal(StatusCode.DeadlineExceeded, StatusOf(response));
        release.SetResult();
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Deadline_HandlerIsBlocked_ServerAnswersAllTheSame()
    {
        using var release = new ManualResetEventSlim();
        var service = new ScriptedService
        {
            Unary = (_, _) =>
            {
                release.Wait();
                return Task.FromResult(new SimpleResponse());
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);

        using var response = await SendAsync(host, MessageReaderTests.Frame([]), ("grpc-timeout", "100m"));

        release.Set();
        Assert.Equal(StatusCode.DeadlineExceeded, StatusOf(response));
    }

    [Fact]
    public async Task Deadline_WhileMessagesWereSent_StatusFollowsThem()
    {
        var late = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            ServerStream = async (_, responses, context) =>
            {
                await responses.WriteAsync(new());
                await RpcAssert.WaitAsync(context.CancellationToken);
                late.SetResult(await Record.ExceptionAsync(() => responses.WriteAsync(new())));
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);

        using var response = await SendAsync(
            host, MessageReaderTests.Frame([]), "/grpc.testing.TestService/StreamingOutputCall", ("grpc-timeout", "100m"));

        Assert.Equal("4", response.TrailingHeaders.GetValues("grpc-status").Single());
        Assert.Equal(MessageReaderTests.Frame([]), await response.Content.ReadAsByteArrayAsync());
        Assert.IsType<InvalidOperationException>(await late.Task.DefaultTimeout());
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Deadline_WhileTheHandlerReads_EndsTheRead()
    {
        var read = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            ClientStream = async (requests, _) =>
            {
                read.SetResult(await Record.ExceptionAsync(() => requests.MoveNext()));
                return new StreamingInputCallResponse();
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var client = Client(host);
        using var request = Request([], "/grpc.testing.TestService/StreamingInputCall", "application/grpc");
        using var body = new EndlessContent();
        request.Content = body;
        request.Headers.TryAddWithoutValidation("grpc-timeout", "100m");

        using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();

        Assert.Equal(StatusCode.DeadlineExceeded, StatusOf(response));
        Assert.IsAssignableFrom<OperationCanceledException>(await read.Task.DefaultTimeout());
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Deadline_ClientHasGoneWithinARead_EndsTheRequest()
    {
        using var reading = new SemaphoreSlim(0);
        using var goOn = new ManualResetEventSlim();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var slow = Marshallers.Create(message => message, bytes =>
        {
            reading.Release();
            goOn.Wait();
            return bytes;
        });
        var method = new Method<byte[], byte[]>(MethodType.DuplexStreaming, "Raw", "Slow", slow, slow);
        var definition = ServerServiceDefinition.CreateBuilder().AddMethod(method, (requests, _, _) => requests.MoveNext()).Build();
        await using var host = await RpcHost.StartAsync(map: app =>
        {
            app.Use(async (_, next) =>
            {
                await next();
                ended.TrySetResult();
            });
            app.MapGrpcService(definition);
        });
        using var client = Client(host);
        using var request = Request([], "/Raw/Slow", "application/grpc");
        using var body = new EndlessContent(MessageReaderTests.Frame([1]));
        request.Content = body;
        request.Headers.TryAddWithoutValidation("grpc-timeout", "4S"); // the read begins before, on a busy machine too
        using var cancellation = new CancellationTokenSource();
        var send = client.SendAsync(request, cancellation.Token);

        await reading.WaitAsync().DefaultTimeout();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => send.DefaultTimeout());
        await host.Log.WaitForAsync("passed its deadline").DefaultTimeout();
        goOn.Set();

        await ended.Task.DefaultTimeout();
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Deadline_WithinAWrite_ResetsTheStream()
    {
        var write = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var service = new ScriptedService
        {
            ServerStream = async (_, responses, _) => write.SetResult(await Record.ExceptionAsync(async () =>
            {
                while (true)
                {
                    await responses.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(1_000_000) } }); // until the client's window is full
                }
            })),
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);
        using var client = Client(host);
        using var request = Request(MessageReaderTests.Frame([]), "/grpc.testing.TestService/StreamingOutputCall", "application/grpc");
        request.Headers.TryAddWithoutValidation("grpc-timeout", "300m");

        using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();

        Assert.NotNull(await write.Task.DefaultTimeout());
        await Assert.ThrowsAnyAsync<Exception>(() => response.Content.ReadAsByteArrayAsync().DefaultTimeout());
        Assert.Empty(host.Log.Errors);
    }

    [Fact]
    public async Task Request_OverHttp1_IsAskedToUpgrade()
    {
        await using var host = await RpcHost.StartAsync(protocols: Microsoft.AspNetCore.Server.Kestrel.Core.HttpProtocols.Http1);
        using var client = Client(host);
        using var request = Request(MessageReaderTests.Frame([]), Unary, "application/grpc");
        request.Version = HttpVersion.Version11;

        using var response = await client.SendAsync(request).DefaultTimeout();

        Assert.Equal(HttpStatusCode.UpgradeRequired, response.StatusCode);
        Assert.Equal("HTTP/2", response.Headers.Upgrade.ToString());
    }

    [Theory]
    [InlineData("application/json", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("application/grpc-web", HttpStatusCode.UnsupportedMediaType)]
    public async Task Request_OfAnotherContentType_IsRefused(string contentType, HttpStatusCode expected)
    {
        await using var host = await RpcHost.StartAsync();
        using var client = Client(host);

        using var response = await client.SendAsync(Request([], Unary, contentType)).DefaultTimeout();

        Assert.Equal(expected, response.StatusCode);
    }

    [Fact]
    public async Task Request_NotGrpcToAnotherPath_IsNotOurs()
    {
        await using var host = await RpcHost.StartAsync();
        using var client = Client(host);

        using var post = await client.SendAsync(Request([], "/some/page", "application/json")).DefaultTimeout();
        using var get = await client.SendAsync(new(HttpMethod.Get, "/") { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact })
            .DefaultTimeout();

        Assert.Equal(HttpStatusCode.NotFound, post.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, get.StatusCode);
    }

    [Theory]
    [InlineData(Unary + "x", "Method is unimplemented")]
    [InlineData("/grpc.testing.Other/UnaryCall", "Service is unimplemented")]
    public async Task Request_OfAnUnknownMethod_SaysWhatIsUnknown(string path, string sentence)
    {
        await using var host = await RpcHost.StartAsync();

        using var response = await SendAsync(host, MessageReaderTests.Frame([]), path);

        Assert.Equal(StatusCode.Unimplemented, StatusOf(response));
        Assert.Contains(sentence, response.Headers.GetValues("grpc-message").Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Response_WithoutMessages_IsHeadersAlone()
    {
        var service = new ScriptedService { Unary = (_, _) => throw new RpcException(new Status(StatusCode.NotFound, "é")) };
        await using var host = await RpcHost.StartAsync(map: service.Map);

        using var response = await SendAsync(host, MessageReaderTests.Frame([]));

        Assert.Equal("5", response.Headers.GetValues("grpc-status").Single());
        Assert.Equal("%C3%A9", response.Headers.GetValues("grpc-message").Single());
        Assert.Equal("application/grpc", response.Content.Headers.ContentType!.MediaType);
        Assert.Empty(response.TrailingHeaders);
    }

    [Fact]
    public async Task Trailers_ThatCannotBeSent_AreInternal()
    {
        var service = new ScriptedService
        {
            Unary = (_, context) =>
            {
                context.ResponseTrailers.Add("bad", "line\nbreak");
                return Task.FromResult(new SimpleResponse { Payload = new Payload { Body = ByteString.CopyFrom(1) } });
            },
        };
        await using var host = await RpcHost.StartAsync(map: service.Map);

        using var response = await SendAsync(host, MessageReaderTests.Frame([]));

        Assert.Equal(StatusCode.Internal, StatusOf(response));
    }

    [Fact]
    public async Task Serializer_FailsInsideAMessage_ResetsTheStream()
    {
        var broken = Marshallers.Create<byte[]>(
            (_, context) =>
            {
                context.SetPayloadLength(100);
                context.GetBufferWriter();
                context.Complete();
            },
            context => context.PayloadAsNewBuffer());
        var method = new Method<byte[], byte[]>(MethodType.Unary, "Raw", "Broken", broken, broken);
        var definition = ServerServiceDefinition.CreateBuilder().AddMethod(method, (request, _) => Task.FromResult(request)).Build();
        await using var host = await RpcHost.StartAsync(map: app => app.MapGrpcService(definition));

        await Assert.ThrowsAnyAsync<HttpRequestException>(() => SendAsync(host, MessageReaderTests.Frame([]), "/Raw/Broken"));
    }

    private static Task<HttpResponseMessage> SendAsync(RpcHost host, byte[] body, params (string Name, string Value)[] headers)
        => SendAsync(host, body, Unary, headers);

    private static async Task<HttpResponseMessage> SendAsync(
        RpcHost host, byte[] body, string path, params (string Name, string Value)[] headers)
    {
        using var client = Client(host);
        using var request = Request(body, path, "application/grpc");
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await client.SendAsync(request).DefaultTimeout();
    }

    private static HttpClient Client(RpcHost host) => new(host.Address.CreateHandler()) { BaseAddress = host.Address.Uri };

    private static HttpRequestMessage Request(byte[] body, string path, string contentType) => new(HttpMethod.Post, path)
    {
        Version = HttpVersion.Version20,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue(contentType) } },
    };

    /// <summary>A body that begins and never ends.</summary>
    private sealed class EndlessContent : HttpContent
    {
        private readonly byte[] _beginning;

        public EndlessContent(params byte[] beginning)
        {
            _beginning = beginning;
            Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync(_beginning, cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
            => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }

    private static StatusCode StatusOf(HttpResponseMessage response)
    {
        var headers = response.TrailingHeaders.Contains("grpc-status") ? response.TrailingHeaders : response.Headers;
        return (StatusCode)int.Parse(headers.GetValues("grpc-status").Single(), System.Globalization.CultureInfo.InvariantCulture);
    }
}
