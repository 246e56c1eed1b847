using Distributed.Rpc.Tests.Hosting;
using Distributed.Rpc.Tests.Protos;
using Distributed.Rpc.Tests.Wire;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Http;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>The client against answers that no proper server gives.</summary>
public sealed class RawResponseTests
{
    private static readonly (string, string) Ok = ("grpc-status", "0");

    [Theory]
    [InlineData(503, "text/html", StatusCode.Unavailable)]
    [InlineData(401, null, StatusCode.Unauthenticated)]
    [InlineData(404, null, StatusCode.Unimplemented)]
    [InlineData(200, "text/html", StatusCode.Unknown)]
    [InlineData(200, null, StatusCode.Unknown)]
    public async Task Response_OfAnotherServer_MapsToAStatus(int status, string? contentType, StatusCode expected)
    {
        var failure = await CallAsync(expected, http =>
        {
            http.Response.StatusCode = status;
            http.Response.ContentType = contentType;
            return Task.CompletedTask;
        });

        Assert.Contains($"HTTP {status}", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("17")]
    [InlineData("-1")]
    [InlineData("OK")]
    public async Task Response_StatusNobodyKnows_IsUnknown(string status)
    {
        var failure = await CallAsync(
            StatusCode.Unknown, http => RawServer.AnswerAsync(http, MessageReaderTests.Frame([]), ("grpc-status", status), ("grpc-message", "hm")));

        Assert.Contains(status, failure.Status.Detail, StringComparison.Ordinal);
        Assert.Contains("hm", failure.Status.Detail, StringComparison.Ordinal);
    }

    public static TheoryData<string, byte[], StatusCode> BrokenBodies => new()
    {
        { "no message", [], StatusCode.Internal },
        { "two messages", [.. MessageReaderTests.Frame([]), .. MessageReaderTests.Frame([])], StatusCode.Internal },
        { "half a message", [0, 0, 0, 0, 9, 1], StatusCode.Internal },
        { "compressed", MessageReaderTests.Frame([], 1), StatusCode.Internal },
        { "no protobuf", MessageReaderTests.Frame([0xff, 0xff, 0xff]), StatusCode.Internal },
        { "length of 4 GiB", [0, 0xff, 0xff, 0xff, 0xff], StatusCode.ResourceExhausted },
    };

    [Theory, MemberData(nameof(BrokenBodies))]
    public async Task Response_BrokenBody_FailsTheCall(string what, byte[] body, StatusCode expected)
    {
        Assert.NotEmpty(what);

        await CallAsync(expected, http => RawServer.AnswerAsync(http, body, Ok));
    }

    [Fact]
    public async Task Response_WithoutAStatus_IsUnknown()
        => await CallAsync(StatusCode.Unknown, http => RawServer.AnswerAsync(http, MessageReaderTests.Frame([])));

    [Fact]
    public async Task Response_InAnotherEncoding_IsInternal()
    {
        var failure = await CallAsync(StatusCode.Internal, http =>
        {
            http.Response.Headers["grpc-encoding"] = "gzip";
            return RawServer.AnswerAsync(http, MessageReaderTests.Frame([], 1), Ok);
        });

        Assert.Contains("'gzip'", failure.Status.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x2, StatusCode.Internal)]
    [InlineData(0x8, StatusCode.Cancelled)]
    [InlineData(0xb, StatusCode.ResourceExhausted)]
    [InlineData(0xc, StatusCode.PermissionDenied)]
    public async Task Stream_IsReset_MapsTheErrorCode(int errorCode, StatusCode expected)
        => await CallAsync(expected, async http =>
        {
            await RawServer.AnswerAsync(http, [0, 0]);
            RawServer.Reset(http, errorCode);
        });

    [Fact]
    public async Task Connection_IsLostBeforeTheResponse_IsUnavailable()
        => await CallAsync(StatusCode.Unavailable, http =>
        {
            RawServer.Disconnect(http);
            return Task.CompletedTask;
        });

    [Fact]
    public async Task Connection_IsLostInTheMiddle_FailsReadsAndWrites()
    {
        await using var server = await RawServer.StartAsync(async http =>
        {
            await RawServer.AnswerAsync(http, MessageReaderTests.Frame([]));
            await http.Request.BodyReader.ReadAsync();
            RawServer.Disconnect(http);
        });
        using var channel = GrpcChannel.ForAddress(server.Address);
        using var call = new TestService.TestServiceClient(channel).FullDuplexCall();
        Assert.True(await call.ResponseStream.MoveNext().DefaultTimeout());

        // The server ends the connection at the first byte, which may be before this write has ended.
        var written = await Record.ExceptionAsync(() => call.RequestStream.WriteAsync(new()).DefaultTimeout());
        Assert.True(written is null or RpcException { StatusCode: StatusCode.Unavailable }, written?.ToString());

        var failure = await RpcAssert.FailsAsync(StatusCode.Unavailable, call.ResponseStream.MoveNext());
        Assert.Contains("/grpc.testing.TestService/FullDuplexCall", failure.Message, StringComparison.Ordinal);
        Assert.Contains(server.Address, failure.Message, StringComparison.Ordinal);
        await RpcAssert.FailsAsync(StatusCode.Unavailable, call.RequestStream.WriteAsync(new()));
    }

    [Fact]
    public async Task Request_IsWhatTheSpecificationAsks()
    {
        var headers = new Dictionary<string, string>(StringComparer.Ordinal);
        await using var server = await RawServer.StartAsync(async http =>
        {
            foreach (var (name, value) in http.Request.Headers)
            {
                headers[name.ToLowerInvariant()] = value.ToString();
            }

            await RawServer.AnswerAsync(http, MessageReaderTests.Frame([]), Ok);
        });
        using var channel = GrpcChannel.ForAddress(server.Address);

        await new TestService.TestServiceClient(channel).UnaryCallAsync(new(), new Metadata { { "b-bin", [1] } }, DateTime.UtcNow.AddSeconds(90))
            .ResponseAsync.DefaultTimeout();

        Assert.Equal("application/grpc", headers["content-type"]);
        Assert.Equal("trailers", headers["te"]);
        Assert.Equal("identity", headers["grpc-accept-encoding"]);
        Assert.Equal("AQ", headers["b-bin"]);
        Assert.Matches("^(89|90)[0-9]{6}u$", headers["grpc-timeout"]);
        Assert.StartsWith("grpc-", headers["user-agent"], StringComparison.Ordinal);
        Assert.DoesNotContain("grpc-encoding", headers.Keys);
    }

    private static async Task<RpcException> CallAsync(StatusCode expected, RequestDelegate answer)
    {
        await using var server = await RawServer.StartAsync(answer);
        using var channel = GrpcChannel.ForAddress(server.Address);
        return await RpcAssert.FailsAsync(expected, new TestService.TestServiceClient(channel).UnaryCallAsync(new()).ResponseAsync);
    }
}
