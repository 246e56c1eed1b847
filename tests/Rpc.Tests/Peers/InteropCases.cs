using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>The client side of the public interoperability tests (grpc/doc/interop-test-descriptions.md).</summary>
internal sealed class InteropCases(GrpcChannel channel)
{
    private static readonly int[] RequestSizes = [27_182, 8, 1_828, 45_904];
    private static readonly int[] ResponseSizes = [31_415, 9, 2_653, 58_979];

    private readonly TestService.TestServiceClient _client = new(channel);

    /// <summary>The names of the cases, as every implementation calls them.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "custom_metadata",
        "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service", "cancel_after_begin",
        "cancel_after_first_response", "timeout_on_sleeping_server",
    ];

    public Task RunAsync(string name) => name switch
    {
        "empty_unary" => EmptyUnaryAsync(),
        "large_unary" => LargeUnaryAsync(),
        "client_streaming" => ClientStreamingAsync(),
        "server_streaming" => ServerStreamingAsync(),
        "ping_pong" => PingPongAsync(),
        "empty_stream" => EmptyStreamAsync(),
        "custom_metadata" => CustomMetadataAsync(),
        "status_code_and_message" => StatusCodeAndMessageAsync(),
        "special_status_message" => SpecialStatusMessageAsync(),
        "unimplemented_method" => RpcAssert.FailsAsync(StatusCode.Unimplemented, _client.UnimplementedCallAsync(new()).ResponseAsync),
        "unimplemented_service" => RpcAssert.FailsAsync(
            StatusCode.Unimplemented, new UnimplementedService.UnimplementedServiceClient(channel).UnimplementedCallAsync(new()).ResponseAsync),
        "cancel_after_begin" => CancelAfterBeginAsync(),
        "cancel_after_first_response" => CancelAfterFirstResponseAsync(),
        "timeout_on_sleeping_server" => TimeoutOnSleepingServerAsync(),
        _ => throw new ArgumentException($"There is no case '{name}'.", nameof(name)),
    };

    private async Task EmptyUnaryAsync() => Assert.Equal(new Empty(), await _client.EmptyCallAsync(new()).ResponseAsync.DefaultTimeout());

    private async Task LargeUnaryAsync()
    {
        var response = await _client.UnaryCallAsync(LargeRequest()).ResponseAsync.DefaultTimeout();

        Assert.Equal(RpcAssert.Zeros(314_159), response.Payload.Body);
    }

    private async Task ClientStreamingAsync()
    {
        using var call = _client.StreamingInputCall();
        foreach (var size in RequestSizes)
        {
            await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(size) } }).DefaultTimeout();
        }

        await call.RequestStream.CompleteAsync().DefaultTimeout();

        Assert.Equal(74_922, (await call.ResponseAsync.DefaultTimeout()).AggregatedPayloadSize);
    }

    private async Task ServerStreamingAsync()
    {
        var request = new StreamingOutputCallRequest();
        request.ResponseParameters.AddRange(ResponseSizes.Select(size => new ResponseParameters { Size = size }));
        using var call = _client.StreamingOutputCall(request);
        foreach (var size in ResponseSizes)
        {
            await ExpectResponseAsync(call.ResponseStream, size);
        }

        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
    }

    private async Task PingPongAsync()
    {
        using var call = _client.FullDuplexCall();
        foreach (var (requestSize, responseSize) in RequestSizes.Zip(ResponseSizes))
        {
            await call.RequestStream.WriteAsync(Ping(requestSize, responseSize)).DefaultTimeout();
            await ExpectResponseAsync(call.ResponseStream, responseSize);
        }

        await call.RequestStream.CompleteAsync().DefaultTimeout();
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
    }

    private async Task EmptyStreamAsync()
    {
        using var call = _client.FullDuplexCall();
        await call.RequestStream.CompleteAsync().DefaultTimeout();
        Assert.False(await call.ResponseStream.MoveNext().DefaultTimeout());
    }

    private async Task CustomMetadataAsync()
    {
        var headers = new Metadata
        {
            { InteropService.EchoHeader, "test_initial_metadata_value" },
            { InteropService.EchoTrailer, [0xab, 0xab, 0xab] },
        };
        using var unary = _client.UnaryCallAsync(LargeRequest(), headers);
        await unary.ResponseAsync.DefaultTimeout();
        await ExpectEchoAsync(unary.ResponseHeadersAsync, unary.GetTrailers);

        using var duplex = _client.FullDuplexCall(headers);
        await duplex.RequestStream.WriteAsync(Ping(271_828, 314_159)).DefaultTimeout();
        await ExpectResponseAsync(duplex.ResponseStream, 314_159);
        await duplex.RequestStream.CompleteAsync().DefaultTimeout();
        Assert.False(await duplex.ResponseStream.MoveNext().DefaultTimeout());
        await ExpectEchoAsync(duplex.ResponseHeadersAsync, duplex.GetTrailers);

        static async Task ExpectEchoAsync(Task<Metadata> responseHeaders, Func<Metadata> trailers)
        {
            Assert.Equal("test_initial_metadata_value", (await responseHeaders.DefaultTimeout()).GetValue(InteropService.EchoHeader));
            Assert.Equal<byte[]?>([0xab, 0xab, 0xab], trailers().GetValueBytes(InteropService.EchoTrailer));
        }
    }

    private async Task StatusCodeAndMessageAsync()
    {
        var status = new EchoStatus { Code = 2, Message = "test status message" };
        var unary = await RpcAssert.FailsAsync(StatusCode.Unknown, _client.UnaryCallAsync(new() { ResponseStatus = status }).ResponseAsync);
        Assert.Equal(status.Message, unary.Status.Detail);

        using var call = _client.FullDuplexCall();
        await call.RequestStream.WriteAsync(new() { ResponseStatus = status }).DefaultTimeout();
        await call.RequestStream.CompleteAsync().DefaultTimeout();
        var duplex = await RpcAssert.FailsAsync(StatusCode.Unknown, call.ResponseStream.MoveNext());
        Assert.Equal(status.Message, duplex.Status.Detail);
    }

    private async Task SpecialStatusMessageAsync()
    {
        var status = new EchoStatus { Code = 2, Message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n" };
        var failure = await RpcAssert.FailsAsync(StatusCode.Unknown, _client.UnaryCallAsync(new() { ResponseStatus = status }).ResponseAsync);
        Assert.Equal(status.Message, failure.Status.Detail);
    }

    private async Task CancelAfterBeginAsync()
    {
        using var cancellation = new CancellationTokenSource();
        using var call = _client.StreamingInputCall(cancellationToken: cancellation.Token);
        await cancellation.CancelAsync();
        await RpcAssert.FailsAsync(StatusCode.Cancelled, call.ResponseAsync);
    }

    private async Task CancelAfterFirstResponseAsync()
    {
        using var cancellation = new CancellationTokenSource();
        using var call = _client.FullDuplexCall(cancellationToken: cancellation.Token);
        await call.RequestStream.WriteAsync(Ping(27_182, 31_415)).DefaultTimeout();
        await ExpectResponseAsync(call.ResponseStream, 31_415);
        await cancellation.CancelAsync();
        await RpcAssert.FailsAsync(StatusCode.Cancelled, call.ResponseStream.MoveNext());
    }

    private async Task TimeoutOnSleepingServerAsync()
    {
        using var call = _client.FullDuplexCall(deadline: DateTime.UtcNow.AddMilliseconds(1));
        try
        {
            await call.RequestStream.WriteAsync(new() { Payload = new() { Body = RpcAssert.Zeros(27_182) } }).DefaultTimeout();
        }
        catch (RpcException failure) when (failure.StatusCode == StatusCode.DeadlineExceeded)
        {
            // The deadline may pass before the message is written.
        }

        await RpcAssert.FailsAsync(StatusCode.DeadlineExceeded, call.ResponseStream.MoveNext());
    }

    private static async Task ExpectResponseAsync(IAsyncStreamReader<StreamingOutputCallResponse> responses, int size)
    {
        Assert.True(await responses.MoveNext().DefaultTimeout());
        Assert.Equal(RpcAssert.Zeros(size), responses.Current.Payload.Body);
    }

    private static SimpleRequest LargeRequest() => new() { ResponseSize = 314_159, Payload = new() { Body = RpcAssert.Zeros(271_828) } };

    private static StreamingOutputCallRequest Ping(int requestSize, int responseSize) => new()
    {
        ResponseParameters = { new ResponseParameters { Size = responseSize } },
        Payload = new() { Body = RpcAssert.Zeros(requestSize) },
    };
}
